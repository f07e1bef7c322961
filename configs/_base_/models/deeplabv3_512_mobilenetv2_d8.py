# DeepLabV3 on MobileNetV2 at output stride 8, as mmseg's: ASPP with 512 channels and a 3x3
# convolution behind it. The leaf says which attention is in the backbone, None for a plain one.
_base_ = './encoder_decoder_fcn.py'

model = dict(
    backbone=dict(
        type='CoordAttMobileNetV2',
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
