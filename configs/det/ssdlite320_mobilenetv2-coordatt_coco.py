# SSDLite320 + CoordAtt-MobileNetV2 on COCO. The published accuracy is with ImageNet weights of the
# whole backbone.
_base_ = [
    '../_base_/models/ssdlite320_mobilenetv2_coco.py',
    '../_base_/datasets/coco_ssd_320.py',
    '../_base_/schedules/ssd_coco_200k.py',
    '../_base_/runtime/det_iterations.py',
]

published = dict(
    paper='Coordinate Attention for Efficient Mobile Network Design',
    where="authors' README",
    parameters=4.8,
    flops_shape=(320, 320),
    metrics=dict(bbox_mAP=24.5),
    difference='4.73 M; the release also has a spare class output and biases that norms cancel',
)
model = dict(
    backbone=dict(
        attention=dict(type='CoordAtt', reduction=32, norm_cfg={{_base_.norm_cfg}}),
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://mbv2_ca_in1k'),
    )
)
