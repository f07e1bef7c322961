# DeepLabV3 + MobileNetV2 on Cityscapes, output stride 8. The release has no training settings for
# it: these are mmseg's for DeepLabV3, SGD for 80k iterations of 8 crops of 512x1024. With its ASPP
# of 512 channels mmseg reports 73.84. The published accuracy is with ImageNet weights of the whole
# backbone.
_base_ = [
    '../_base_/models/deeplabv3_256_mobilenetv2_d8.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/schedules/seg_sgd_80k.py',
    '../_base_/runtime/seg.py',
]

published = dict(
    paper='Coordinate Attention for Efficient Mobile Network Design',
    where="authors' README",
    metrics=dict(mIoU=71.4),
)
model = dict(
    data_preprocessor=dict(size=(512, 1024)),
    backbone=dict(
        attention=None,
        # The authors' weights of the plain network are not public; these are torchvision's.
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://mobilenetv2_tv'),
    ),
    decode_head=dict(num_classes=19),
)
