# Faster R-CNN on ResNet-50 with ImageNet weights; the stem and the first stage stay as they are.
_base_ = './faster_rcnn_fpn.py'

model = dict(
    backbone=dict(
        type='ResNet',
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        frozen_stages=1,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=True,
        style='pytorch',
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://resnet50_tv'),
    ),
    neck=dict(in_channels=[256, 512, 1024, 2048]),
)
