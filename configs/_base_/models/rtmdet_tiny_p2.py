# RTMDet-tiny with the map of stride 4 besides, for small objects. The head is as wide as that map,
# half of the usual width: it runs at four times as many places.
_base_ = './rtmdet.py'

model = dict(
    backbone=dict(
        deepen_factor=0.167,
        widen_factor=0.375,
        out_indices=(1, 2, 3, 4),
        init_cfg=dict(type='Pretrained', prefix='backbone.', checkpoint='mmattn://cspnext_tiny'),
    ),
    neck=dict(in_channels=[48, 96, 192, 384], out_channels=48),
    bbox_head=dict(in_channels=48, feat_channels=48, anchor_generator=dict(strides=[4, 8, 16, 32])),
)
