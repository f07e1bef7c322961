# VAN with the regularization of its release for ImageNet-22K; the number of classes is left to the
# config.
_base_ = './image_classifier_smoothed.py'

model = dict(
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    # mmpretrain has a VAN of its own, hence the scope.
    backbone=dict(type='mmattn.VAN', drop_path_rate=0.1, out_indices=(3,)),
    head=dict(
        in_channels=512,
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02),
    ),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)
