# DeepLabV3 + MobileNetV2 with SE on PASCAL VOC 2012 with the labels of SBD, output stride 16. The
# release has no training settings for it: these are mmseg's for DeepLabV3, SGD for 40k iterations
# of 16 crops of 512x512. The published accuracy is with ImageNet weights of the whole backbone,
# which were never released; without any the backbone starts from random values. SE has ReLU6 in its
# bottleneck, as in the authors' code.
_base_ = [
    '../_base_/models/deeplabv3_256_mobilenetv2_d16.py',
    '../_base_/datasets/voc12aug.py',
    '../_base_/schedules/seg_sgd_40k.py',
    '../_base_/runtime/seg.py',
]

published = dict(
    paper='Coordinate Attention for Efficient Mobile Network Design',
    where="authors' README",
    parameters=4.9,
    metrics=dict(mIoU=71.69),
)
model = dict(
    backbone=dict(attention=dict(type='SE', reduction=24, act_cfg=dict(type='ReLU6'))),
    decode_head=dict(num_classes=21),
)
