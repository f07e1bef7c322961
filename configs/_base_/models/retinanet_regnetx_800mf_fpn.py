# RetinaNet on RegNetX-800MF with ImageNet weights; the stem and the first stage stay as they are.
_base_ = './retinanet_fpn.py'

model = dict(
    backbone=dict(
        type='RegNet',
        arch='regnetx_800mf',
        out_indices=(0, 1, 2, 3),
        frozen_stages=1,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=True,
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://regnetx_800mf'),
    ),
    neck=dict(in_channels=[64, 128, 288, 672]),
)
