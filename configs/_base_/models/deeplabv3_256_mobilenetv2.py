# DeepLabV3 on MobileNetV2 with the parameters of the published one: ASPP with 256 channels, a 1x1
# convolution behind it, no second head. The leaf says which attention is in the backbone, None for
# a plain one; the output stride is left open.
_base_ = './encoder_decoder.py'

model = dict(
    backbone=dict(
        type='CoordAttMobileNetV2',
        norm_cfg={{_base_.norm_cfg}},
        out_indices=(1, 2, 4, 6),
    ),
    decode_head=dict(
        type='DeepLabV3Head',
        in_channels=320,
        in_index=3,
        channels=256,
        dropout_ratio=0.1,
    ),
    auxiliary_head=None,
)
