# Mask R-CNN on ResNet-18 with ImageNet weights; the stem and the first stage stay as they are.
_base_ = './mask_rcnn_fpn.py'

model = dict(
    backbone=dict(
        type='ResNet',
        depth=18,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        frozen_stages=1,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=True,
        style='pytorch',
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://resnet18_tv'),
    ),
    neck=dict(in_channels=[64, 128, 256, 512]),
)
