# Generalized focal loss on VAN: quality in the class score, boxes as distributions over 0 to 16.
_base_ = './one_stage_van_fpn.py'

model = dict(
    type='GFL',
    neck=dict(add_extra_convs='on_output'),
    bbox_head=dict(
        type='GFLHead',
        anchor_generator=dict(ratios=[1.0], octave_base_scale=8, scales_per_octave=1),
        reg_max=16,
        loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True, beta=2.0, loss_weight=1.0),
        loss_dfl=dict(type='DistributionFocalLoss', loss_weight=0.25),
        loss_bbox=dict(type='GIoULoss', loss_weight=2.0),
    ),
    train_cfg=dict(assigner=dict(type='ATSSAssigner', topk=9)),
    test_cfg=dict(nms=dict(iou_threshold=0.6)),
)
