# SSDLite320 on COCO: focal loss of weight 5, smooth L1 loss with a beta of 1, norms over all GPUs.
_base_ = './ssdlite320_mobilenetv2.py'

norm_cfg = dict(type='SyncBN', requires_grad=True)

model = dict(
    backbone=dict(norm_cfg=norm_cfg),
    neck=dict(norm_cfg=norm_cfg),
    bbox_head=dict(
        num_classes=80,
        norm_cfg=norm_cfg,
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=5.0),
        loss_bbox=dict(type='SmoothL1Loss', beta=1.0, loss_weight=1.0),
    ),
    test_cfg=dict(score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5)),
)
