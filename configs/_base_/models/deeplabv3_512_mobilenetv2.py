# DeepLabV3 on MobileNetV2 as mmseg's: ASPP with 512 channels and a 3x3 convolution behind it. The
# leaf says which attention is in the backbone, None for a plain one; the output stride is left
# open.
_base_ = './encoder_decoder_fcn.py'

model = dict(
    backbone=dict(
        type='CoordAttMobileNetV2',
        norm_cfg={{_base_.norm_cfg}},
        out_indices=(1, 2, 4, 6),
    ),
    decode_head=dict(
        type='ASPPHead',
        in_channels=320,
        in_index=3,
        channels=512,
        dropout_ratio=0.1,
    ),
    auxiliary_head=dict(in_channels=96),
)
