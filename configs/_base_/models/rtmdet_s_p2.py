# RTMDet-S with the map of stride 4 besides, for small objects. The head is as wide as that map,
# half of the usual width: it runs at four times as many places.
_base_ = './rtmdet.py'

model = dict(
    backbone=dict(
        deepen_factor=0.33,
        widen_factor=0.5,
        out_indices=(1, 2, 3, 4),
        init_cfg=dict(type='Pretrained', prefix='backbone.', checkpoint='mmattn://cspnext_s'),
    ),
    neck=dict(in_channels=[64, 128, 256, 512], out_channels=64),
    bbox_head=dict(in_channels=64, feat_channels=64, anchor_generator=dict(strides=[4, 8, 16, 32])),
)
