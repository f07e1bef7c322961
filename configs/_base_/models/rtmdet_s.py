# RTMDet-S on maps of the strides 8, 16 and 32; the backbone has ImageNet weights.
_base_ = './rtmdet.py'

model = dict(
    backbone=dict(
        deepen_factor=0.33,
        widen_factor=0.5,
        init_cfg=dict(type='Pretrained', prefix='backbone.', checkpoint='mmattn://cspnext_s'),
    ),
    neck=dict(in_channels=[128, 256, 512], out_channels=128),
    bbox_head=dict(in_channels=128, feat_channels=128, anchor_generator=dict(strides=[8, 16, 32])),
)
