# DeepLabV3 + CoordAtt-MobileNetV2 on Cityscapes, output stride 8. The release has no training
# settings for it: these are mmseg's for DeepLabV3, SGD for 80k iterations of 8 crops of 512x1024.
# The published accuracy is with ImageNet weights of the whole backbone.
_base_ = [
    '../_base_/models/deeplabv3_256_mobilenetv2_d8.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/schedules/seg_sgd_80k.py',
    '../_base_/runtime/seg.py',
]

published = dict(
    paper='Coordinate Attention for Efficient Mobile Network Design',
    where="authors' README",
    metrics=dict(mIoU=74.0),
)
model = dict(
    data_preprocessor=dict(size=(512, 1024)),
    backbone=dict(
        attention=dict(type='CoordAtt', reduction=32, norm_cfg={{_base_.norm_cfg}}),
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://mbv2_ca_in1k'),
    ),
    decode_head=dict(num_classes=19),
)
