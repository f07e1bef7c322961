# YOLOX-S with the map of stride 4 besides, for small objects.
_base_ = './yolox_s_open.py'

model = dict(
    backbone=dict(out_indices=(1, 2, 3, 4)),
    neck=dict(in_channels=[64, 128, 256, 512]),
    bbox_head=dict(strides=(4, 8, 16, 32)),
)
