# SSDLite320 + MobileNetV2 on COCO. The published accuracy is with ImageNet weights.
_base_ = [
    '../_base_/models/ssdlite320_mobilenetv2_coco.py',
    '../_base_/datasets/coco_ssd_320.py',
    '../_base_/schedules/ssd_coco_200k.py',
    '../_base_/runtime/det_iterations.py',
]

published = dict(
    paper='Coordinate Attention for Efficient Mobile Network Design',
    where="authors' README",
    parameters=4.3,
    flops_shape=(320, 320),
    metrics=dict(bbox_mAP=22.3),
)
model = dict(
    backbone=dict(
        attention=None,
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://mobilenetv2_tv'),
    )
)
