# Semantic FPN on the three maps of a ResNet-20 for small images, at strides 1, 2 and 4. What fuses
# in the pyramid is left open.
_base_ = './encoder_decoder.py'

model = dict(
    backbone=dict(
        type='CIFARAFFResNet',
        num_blocks=3,
        channels=(16, 16, 32, 64),
        # Its own sums are plain.
        fusion_stages=(),
        out_indices=(0, 1, 2),
        norm_cfg={{_base_.norm_cfg}},
    ),
    neck=dict(type='AFFFPN', in_channels=[16, 32, 64], out_channels=64, num_outs=3),
    decode_head=dict(
        type='FPNHead',
        in_channels=[64, 64, 64],
        in_index=[0, 1, 2],
        feature_strides=[1, 2, 4],
        channels=64,
        dropout_ratio=0.1,
    ),
)
