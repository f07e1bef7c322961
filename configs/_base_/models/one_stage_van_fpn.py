# What the one-stage detectors on VAN share: a pyramid of the strides 8 to 128.
_base_ = './detector_fpn.py'

model = dict(
    backbone=dict(
        type='VAN',
        norm_cfg=dict(type='SyncBN', requires_grad=True),
        # The released code for dense prediction has PyTorch's eps here, the classifier 1e-6.
        stage_norm_cfg=dict(type='LN', eps=1e-5),
    ),
    neck=dict(in_channels=[64, 128, 320, 512], start_level=1),
    bbox_head=dict(
        num_classes=80,
        in_channels=256,
        stacked_convs=4,
        feat_channels=256,
        anchor_generator=dict(type='AnchorGenerator', strides=[8, 16, 32, 64, 128]),
    ),
    train_cfg=dict(allowed_border=-1, pos_weight=-1, debug=False),
    test_cfg=dict(
        nms_pre=1000,
        min_bbox_size=0,
        score_thr=0.05,
        nms=dict(type='nms', iou_threshold=0.6),
        max_per_img=100,
    ),
)
