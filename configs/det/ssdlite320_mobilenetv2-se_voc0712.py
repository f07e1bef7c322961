# SSDLite320 + MobileNetV2 with SE on PASCAL VOC, trained on 2007 and 2012. The published accuracy
# is with ImageNet weights of the whole backbone, which were never released; without any the
# backbone starts from random values. SE has ReLU6 in its bottleneck, as in the authors' code. The
# released code of this network has narrower extra levels, with SE inside; the published parameters
# are those of the levels here.
_base_ = [
    '../_base_/models/ssdlite320_mobilenetv2_voc.py',
    '../_base_/datasets/voc0712_ssd_320.py',
    '../_base_/schedules/ssd_voc_60k.py',
    '../_base_/runtime/det_iterations.py',
]

published = dict(
    paper='Coordinate Attention for Efficient Mobile Network Design',
    where="authors' README",
    parameters=4.7,
    flops_shape=(320, 320),
    metrics=dict(mAP=71.7),
    difference='published is the count for the 80 classes of COCO; with the 20 of VOC it is 3.81 M',
)
model = dict(backbone=dict(attention=dict(type='SE', reduction=24, act_cfg=dict(type='ReLU6'))))
