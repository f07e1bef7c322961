# UperNet on the ViT-S/16 of timm that was distilled from DINOv3. Its maps have one stride, of which
# a neck of mmseg makes the strides 4 to 32. Building it with pretrained=True downloads its weights.
_base_ = './upernet.py'

model = dict(
    backbone=dict(
        type='TIMMBackbone',
        model_name='vit_small_patch16_dinov3.lvd1689m',
        features_only=True,
        pretrained=False,
        out_indices=(2, 5, 8, 11),
    ),
    neck=dict(type='Feature2Pyramid', embed_dim=384, norm_cfg={{_base_.norm_cfg}}),
    decode_head=dict(in_channels=[384, 384, 384, 384]),
    auxiliary_head=dict(in_channels=384),
)
