# SSDLite320 + CoordAtt-MobileNetV2 on PASCAL VOC, trained on 2007 and 2012. The published accuracy
# is with ImageNet weights of the whole backbone.
_base_ = [
    '../_base_/models/ssdlite320_mobilenetv2_voc.py',
    '../_base_/datasets/voc0712_ssd_320.py',
    '../_base_/schedules/ssd_voc_60k.py',
    '../_base_/runtime/det_iterations.py',
]

published = dict(
    paper='Coordinate Attention for Efficient Mobile Network Design',
    where="authors' README",
    parameters=4.8,
    flops_shape=(320, 320),
    metrics=dict(mAP=73.1),
    difference='published is the count for the 80 classes of COCO; with the 20 of VOC it is 3.87 M',
)
model = dict(
    backbone=dict(
        attention=dict(type='CoordAtt', reduction=32),
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://mbv2_ca_in1k'),
    )
)
