# Faster R-CNN on the four stages of LSKNet, with the rates of its release.
_base_ = './faster_rcnn_fpn.py'

model = dict(
    backbone=dict(
        type='LSKNet',
        drop_rate=0.1,
        drop_path_rate=0.1,
        norm_cfg=dict(type='SyncBN', requires_grad=True),
    ),
    neck=dict(in_channels=[64, 128, 320, 512]),
)
