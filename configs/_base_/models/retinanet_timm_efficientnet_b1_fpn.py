# RetinaNet on the EfficientNet-B1 of timm. Building it with pretrained=True downloads its ImageNet
# weights.
_base_ = './retinanet_fpn.py'

model = dict(
    backbone=dict(
        type='mmpretrain.TIMMBackbone',
        model_name='efficientnet_b1',
        features_only=True,
        pretrained=False,
        out_indices=(1, 2, 3, 4),
    ),
    neck=dict(in_channels=[24, 40, 112, 320]),
)
