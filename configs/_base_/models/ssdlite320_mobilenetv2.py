# What SSDLite for 320x320 pixels has in common on COCO and VOC, as the authors of MobileNeXt and
# coordinate attention released it: MobileNetV2 gives the maps of stride 16 and 32, and pixels are
# divided by ImageNet's deviations, by a transform that the release names after the mean alone.
model = dict(
    type='SingleStageDetector',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123, 117, 104],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=1,
    ),
    backbone=dict(type='CoordAttMobileNetV2', out_indices=(4, 7)),
    neck=dict(type='SSDLiteNeck'),
    bbox_head=dict(type='SSDLiteHead'),
    train_cfg=dict(
        assigner=dict(
            type='MaxIoUAssigner',
            pos_iou_thr=0.5,
            neg_iou_thr=0.5,
            min_pos_iou=0.0,
            ignore_iof_thr=-1,
            gt_max_assign_all=False,
        ),
        sampler=dict(type='PseudoSampler'),
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    ),
    # The release suppresses among all boxes above the threshold, mmdet among 1000 of each level.
    test_cfg=dict(nms_pre=1000, min_bbox_size=0, max_per_img=100),
)
