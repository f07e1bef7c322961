# DeepLabV3 + MobileNetV2 with SE on Cityscapes, output stride 8. The release has no training
# settings for it: these are mmseg's for DeepLabV3, SGD for 80k iterations of 8 crops of 512x1024.
# The published accuracy is with ImageNet weights of the whole backbone, which were never released;
# without any the backbone starts from random values. SE has ReLU6 in its bottleneck, as in the
# authors' code.
_base_ = [
    '../_base_/models/deeplabv3_256_mobilenetv2_d8.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/schedules/seg_sgd_80k.py',
    '../_base_/runtime/seg.py',
]

published = dict(
    paper='Coordinate Attention for Efficient Mobile Network Design',
    where="authors' README",
    metrics=dict(mIoU=72.2),
)
model = dict(
    data_preprocessor=dict(size=(512, 1024)),
    backbone=dict(attention=dict(type='SE', reduction=24, act_cfg=dict(type='ReLU6'))),
    decode_head=dict(num_classes=19),
)
