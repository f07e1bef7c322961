# DeepLabV3 on ResNet-50-V1c with ImageNet weights at output stride 8, as mmseg's.
_base_ = './encoder_decoder_fcn.py'

model = dict(
    backbone=dict(
        type='ResNetV1c',
        depth=50,
        norm_cfg={{_base_.norm_cfg}},
        strides=(1, 2, 1, 1),
        dilations=(1, 1, 2, 4),
        contract_dilation=True,
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://resnet50_v1c'),
    ),
    decode_head=dict(
        type='ASPPHead',
        in_channels=2048,
        in_index=3,
        channels=512,
        dilations=(1, 12, 24, 36),
        dropout_ratio=0.1,
    ),
    auxiliary_head=dict(in_channels=1024),
)
