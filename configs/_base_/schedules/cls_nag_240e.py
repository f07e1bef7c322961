# SGD with Nesterov momentum for 240 epochs at a total batch size of 512 (4 GPUs x 128), as the
# authors of AFF train again in their release. They compute in float16 (`--amp` of tools/train.py);
# the paper itself has 160 epochs, a batch size of 128 and no weight decay.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.075, momentum=0.9, nesterov=True, weight_decay=1e-4),
    # No decay of norms and biases.
    paramwise_cfg=dict(flat_decay_mult=0.0),
)
param_scheduler = [
    # On a line from 0, the start of which is no step: the first of 12,509 up to the full rate is at
    # 1/12509 of it.
    dict(
        type='LinearLR',
        start_factor=8e-5,
        by_epoch=True,
        begin=0,
        end=5,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        eta_min=0.0,
        by_epoch=True,
        begin=5,
        end=240,
        convert_to_iter_based=True,
    ),
]
# The last five epochs, counted from 1, see whole images.
custom_hooks = [
    dict(type='SwitchRecipeHook', schedule=[dict(action_epoch=236, batch_augments=None)]),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=240, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=512)
