# Mask R-CNN on AFF-ResNet-50. Plain ImageNet weights know nothing of the fusions, which therefore
# start as the addition. Norms are trained, over all GPUs: those of the fusions have no statistics
# yet that could be kept.
_base_ = './mask_rcnn_fpn.py'

norm_cfg = dict(type='SyncBN', requires_grad=True)

model = dict(
    backbone=dict(
        type='AFFResNet',
        depth=50,
        fusion=dict(type='AFF', reduction=16, scale=2.0, norm_cfg=norm_cfg, start='identity'),
        fusion_stages=(2, 3),
        frozen_stages=1,
        norm_cfg=norm_cfg,
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://resnet50_tv'),
    ),
    neck=dict(in_channels=[256, 512, 1024, 2048]),
)
