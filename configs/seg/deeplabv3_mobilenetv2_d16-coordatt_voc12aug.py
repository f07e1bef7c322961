# DeepLabV3 + CoordAtt-MobileNetV2 on PASCAL VOC 2012 with the labels of SBD, output stride 16. The
# release has no training settings for it: these are mmseg's for DeepLabV3, SGD for 40k iterations
# of 16 crops of 512x512. The published accuracy is with ImageNet weights of the whole backbone.
_base_ = [
    '../_base_/models/deeplabv3_256_mobilenetv2_d16.py',
    '../_base_/datasets/voc12aug.py',
    '../_base_/schedules/seg_sgd_40k.py',
    '../_base_/runtime/seg.py',
]

published = dict(
    paper='Coordinate Attention for Efficient Mobile Network Design',
    where="authors' README",
    parameters=5.0,
    metrics=dict(mIoU=73.32),
)
model = dict(
    backbone=dict(
        attention=dict(type='CoordAtt', reduction=32, norm_cfg={{_base_.norm_cfg}}),
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://mbv2_ca_in1k'),
    ),
    decode_head=dict(num_classes=21),
)
