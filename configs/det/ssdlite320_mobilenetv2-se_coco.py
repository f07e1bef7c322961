# SSDLite320 + MobileNetV2 with SE on COCO. The published accuracy is with ImageNet weights of the
# whole backbone, which were never released; without any the backbone starts from random values. SE
# has ReLU6 in its bottleneck, as in the authors' code. The released code of this network has
# narrower extra levels, with SE inside; the published parameters are those of the levels here.
_base_ = [
    '../_base_/models/ssdlite320_mobilenetv2_coco.py',
    '../_base_/datasets/coco_ssd_320.py',
    '../_base_/schedules/ssd_coco_200k.py',
    '../_base_/runtime/det_iterations.py',
]

published = dict(
    paper='Coordinate Attention for Efficient Mobile Network Design',
    where="authors' README",
    parameters=4.7,
    flops_shape=(320, 320),
    metrics=dict(bbox_mAP=23.7),
)
model = dict(backbone=dict(attention=dict(type='SE', reduction=24, act_cfg=dict(type='ReLU6'))))
