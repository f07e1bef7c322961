# Mask R-CNN on the four stages of MSCAN.
_base_ = './mask_rcnn_fpn.py'

model = dict(
    backbone=dict(type='MSCAN', norm_cfg=dict(type='SyncBN', requires_grad=True)),
    neck=dict(in_channels=[64, 128, 320, 512]),
)
