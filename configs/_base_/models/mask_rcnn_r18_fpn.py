# Mask R-CNN on ResNet-18 with ImageNet weights; the stem and the first stage stay as they are.
_base_ = './mask_rcnn_r50_fpn.py'

model = dict(
    backbone=dict(depth=18, init_cfg=dict(checkpoint='torchvision://resnet18')),
    neck=dict(in_channels=[64, 128, 256, 512]),
)
