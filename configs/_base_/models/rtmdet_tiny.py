# RTMDet-tiny on maps of the strides 8, 16 and 32; the backbone has ImageNet weights.
_base_ = './rtmdet.py'

model = dict(
    backbone=dict(
        deepen_factor=0.167,
        widen_factor=0.375,
        init_cfg=dict(type='Pretrained', prefix='backbone.', checkpoint='mmattn://cspnext_tiny'),
    ),
    neck=dict(in_channels=[96, 192, 384], out_channels=96),
    bbox_head=dict(in_channels=96, feat_channels=96, anchor_generator=dict(strides=[8, 16, 32])),
)
