# Mask R-CNN on the ConvNeXt-T of timm that was distilled from DINOv3. Building it with
# pretrained=True downloads its weights.
_base_ = './mask_rcnn_fpn.py'

model = dict(
    backbone=dict(
        type='mmpretrain.TIMMBackbone',
        model_name='convnext_tiny.dinov3_lvd1689m',
        features_only=True,
        pretrained=False,
        out_indices=(0, 1, 2, 3),
    ),
    neck=dict(in_channels=[96, 192, 384, 768]),
)
