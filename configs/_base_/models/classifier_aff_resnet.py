# ResNet of the release of AFF: three convolutions as stem, averaging shortcuts, attention in place
# of the sums of the last two stages. In the second run of the release the last norm of every
# residual branch starts at zero.
_base_ = './image_classifier.py'

model = dict(
    backbone=dict(
        type='AFFResNet',
        depth=50,
        deep_stem=True,
        avg_down=True,
        zero_init_residual=True,
        out_indices=(3,),
    ),
    head=dict(
        in_channels=2048,
        loss=dict(_delete_=True, type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
    train_cfg=dict(augments=dict(type='Mixup', alpha=0.2)),
)
