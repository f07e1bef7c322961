# Mask R-CNN on Swin-T with ImageNet weights.
_base_ = './mask_rcnn_fpn.py'

model = dict(
    backbone=dict(
        type='SwinTransformer',
        embed_dims=96,
        depths=[2, 2, 6, 2],
        num_heads=[3, 6, 12, 24],
        window_size=7,
        drop_path_rate=0.2,
        convert_weights=True,
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://swin_t'),
    ),
    neck=dict(in_channels=[96, 192, 384, 768]),
)
