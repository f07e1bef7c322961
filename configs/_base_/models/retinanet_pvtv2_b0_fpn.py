# RetinaNet on PVTv2-B0 with ImageNet weights.
_base_ = './retinanet_fpn.py'

model = dict(
    backbone=dict(
        type='PyramidVisionTransformerV2',
        embed_dims=32,
        num_layers=[2, 2, 2, 2],
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://pvtv2_b0'),
    ),
    neck=dict(in_channels=[32, 64, 160, 256]),
)
