# UperNet on ResNet-50-V1c with ImageNet weights, as mmseg's. Its recipe freezes no stage.
_base_ = './upernet.py'

model = dict(
    backbone=dict(
        type='ResNetV1c',
        depth=50,
        norm_cfg={{_base_.norm_cfg}},
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://resnet50_v1c'),
    ),
    decode_head=dict(in_channels=[256, 512, 1024, 2048]),
    auxiliary_head=dict(in_channels=1024),
)
