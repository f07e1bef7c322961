# AdamW at a total batch size of 16 (8 GPUs x 2), as Swin and VAN train detectors. The paper of VAN
# does not state whether norms decay.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    # Every norm of VAN has "norm" in its name.
    paramwise_cfg=dict(custom_keys={'norm': dict(decay_mult=0.0)}),
)
train_cfg = dict(type='EpochBasedTrainLoop', val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=16)
