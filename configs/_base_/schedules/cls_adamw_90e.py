# AdamW for 90 epochs at a total batch size of 8192, as the released script that pre-trains VAN on
# ImageNet-22K: 64 GPUs x 64, of which two in a row make one step.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=4e-3, betas=(0.9, 0.999), weight_decay=0.05),
    # No decay of norms, biases and layer scales.
    paramwise_cfg=dict(flat_decay_mult=0.0),
    accumulative_counts=2,
)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-6,
        by_epoch=True,
        begin=0,
        end=5,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-6,
        by_epoch=True,
        begin=5,
        end=90,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=90, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
# What the GPUs take at once, since mmengine does not count what it accumulates.
auto_scale_lr = dict(enable=False, base_batch_size=4096)
