# VAN fine-tuned from ImageNet-22K weights: no mixing of images, a new classifier close to zero.
_base_ = './image_classifier_smoothed.py'

model = dict(
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    # mmpretrain has a VAN of its own, hence the scope.
    backbone=dict(type='mmattn.VAN', drop_path_rate=0.2, out_indices=(3,)),
    head=dict(
        in_channels=512,
        # The release scales its initial values, of deviation 0.02, by 0.001.
        init_cfg=dict(type='TruncNormal', layer='Linear', std=2e-5),
    ),
)
