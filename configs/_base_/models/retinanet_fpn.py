# RetinaNet; the levels of stride 64 and 128 are convolutions of the backbone's last map.
_base_ = './one_stage_fpn.py'

model = dict(
    type='RetinaNet',
    neck=dict(add_extra_convs='on_input'),
    bbox_head=dict(
        type='RetinaHead',
        anchor_generator=dict(
            octave_base_scale=4,
            scales_per_octave=3,
            ratios=[0.5, 1.0, 2.0],
        ),
        bbox_coder=dict(
            type='DeltaXYWHBBoxCoder',
            target_means=[0.0, 0.0, 0.0, 0.0],
            target_stds=[1.0, 1.0, 1.0, 1.0],
        ),
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type='L1Loss', loss_weight=1.0),
    ),
    train_cfg=dict(
        assigner=dict(
            type='MaxIoUAssigner',
            pos_iou_thr=0.5,
            neg_iou_thr=0.4,
            min_pos_iou=0,
            ignore_iof_thr=-1,
        ),
        # The focal loss takes every anchor.
        sampler=dict(type='PseudoSampler'),
    ),
    test_cfg=dict(nms=dict(iou_threshold=0.5)),
)
