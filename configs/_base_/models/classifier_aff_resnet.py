# ResNet of the release of AFF: three convolutions as stem, averaging shortcuts, attention in place
# of the sums of the last two stages. In the second run of the release the last norm of every
# residual branch starts at zero.
_base_ = './image_classifier_smoothed.py'

# MXNet's MSRAPrelu: the square of the gain is 2 / (1 + 0.25 ** 2), for a PReLU of slope 0.25, over
# the mean of what comes in and what goes out.
msra_prelu = dict(type='Xavier', layer=['Conv2d', 'Linear'], gain=1.372, distribution='normal')

model = dict(
    data_preprocessor=dict(mean=[123.68, 116.779, 103.939], std=[58.393, 57.12, 57.375]),
    backbone=dict(
        type='AFFResNet',
        depth=50,
        deep_stem=True,
        avg_down=True,
        zero_init_residual=True,
        out_indices=(3,),
        init_cfg=msra_prelu,
    ),
    head=dict(in_channels=2048, init_cfg=msra_prelu),
    train_cfg=dict(augments=dict(type='Mixup', alpha=0.2)),
)
