# SSDLite320 on VOC: the MultiBox loss of SSD on anchors of its own, norms per GPU.
_base_ = './ssdlite320_mobilenetv2.py'

model = dict(
    bbox_head=dict(
        num_classes=20,
        anchor_generator=dict(
            type='SSDAnchorGenerator',
            scale_major=False,
            strides=[16, 32, 64, 120, 160, 320],
            ratios=[[2, 3], [2, 3], [2, 3], [2, 3], [2, 3], [2, 3]],
            min_sizes=[45, 90, 135, 180, 225, 270],
            max_sizes=[120, 180, 220, 260, 300, 320],
        ),
    ),
    train_cfg=dict(neg_pos_ratio=3, smoothl1_beta=1.0),
    test_cfg=dict(score_thr=0.01, nms=dict(type='nms', iou_threshold=0.45)),
)
