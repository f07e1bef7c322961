# DeepLabV3 at output stride 8 on MobileNetV2 with coordinate attention.
_base_ = './encoder_decoder_ade20k.py'

model = dict(
    backbone=dict(
        type='CoordAttMobileNetV2',
        attention=dict(type='CoordAtt', reduction=32, norm_cfg={{_base_.norm_cfg}}),
        strides=(1, 2, 2, 1, 1, 1, 1),
        dilations=(1, 1, 1, 2, 2, 4, 4),
        out_indices=(1, 2, 4, 6),
    ),
    decode_head=dict(
        type='ASPPHead',
        in_channels=320,
        in_index=3,
        channels=512,
        dilations=(1, 12, 24, 36),
    ),
    auxiliary_head=dict(in_channels=96),
)
