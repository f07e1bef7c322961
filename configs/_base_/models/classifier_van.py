# VAN with the regularization of its release for training from random weights.
_base_ = './image_classifier_smoothed.py'

model = dict(
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),
    # mmpretrain has a VAN of its own, hence the scope.
    backbone=dict(type='mmattn.VAN', drop_path_rate=0.1, out_indices=(3,)),
    head=dict(
        in_channels=512,
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02),
    ),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)
