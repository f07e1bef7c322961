# ResNet of the release of AFF: three convolutions as stem, averaging shortcuts, attention in place
# of the sums of the last two stages. In the second run of the release the last norm of every
# residual branch starts at zero.
_base_ = './image_classifier_smoothed.py'

model = dict(
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    backbone=dict(
        type='AFFResNet',
        depth=50,
        deep_stem=True,
        avg_down=True,
        zero_init_residual=True,
        out_indices=(3,),
    ),
    head=dict(in_channels=2048),
    train_cfg=dict(augments=dict(type='Mixup', alpha=0.2)),
)
