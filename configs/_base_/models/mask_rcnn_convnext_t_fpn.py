# Mask R-CNN on ConvNeXt-T, of mmpretrain, with ImageNet weights.
_base_ = './mask_rcnn_fpn.py'

model = dict(
    backbone=dict(
        type='mmpretrain.ConvNeXt',
        arch='tiny',
        out_indices=(0, 1, 2, 3),
        drop_path_rate=0.4,
        layer_scale_init_value=1.0,
        gap_before_final_norm=False,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='mmattn://convnext_t',
            prefix='backbone.',
        ),
    ),
    neck=dict(in_channels=[96, 192, 384, 768]),
)
