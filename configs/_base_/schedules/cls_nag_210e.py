# SGD with Nesterov momentum for 200 epochs and ten more at the lowest rate, by the arguments that
# lie beside the released weights of MobileNeXt at width 1.0; other widths are assumed to have the
# same. They have a rate of 0.1 at 64 images per process, and do not say how many processes there
# were. The one log of the release has 256 images in all at this rate: here these are 4 GPUs x 64,
# and from there auto_scale_lr scales the rate, if it is asked to. Nothing is averaged: the released
# script mnext_mbv2.sh, which does so with 128 images per process, only goes on from finished
# weights.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4),
    # No decay of norms and biases, by the code of the release.
    paramwise_cfg=dict(flat_decay_mult=0.0),
)
# A rate for each epoch. The cosine counts from the first one on, below the warm-up.
param_scheduler = [
    # Three epochs, from 0.0001; the fourth one has the whole rate.
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, begin=0, end=4),
    dict(type='CosineAnnealingLR', eta_min=1e-5, T_max=200, by_epoch=True, begin=0, end=201),
    dict(type='ConstantLR', factor=1.0, by_epoch=True, begin=200, end=210),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=210, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=256)
