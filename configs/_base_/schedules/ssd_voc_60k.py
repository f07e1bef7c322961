# SGD for 60k iterations at a total batch size of 96 (4 GPUs x 24), as the SSDLite of the authors of
# MobileNeXt: their file says 0.001 and 240k for one GPU, their code multiplies and divides by 4.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.004, momentum=0.9, weight_decay=5e-4),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1333, by_epoch=False, begin=0, end=1000),
    dict(
        type='MultiStepLR',
        milestones=[40000, 50000],
        gamma=0.1,
        by_epoch=False,
        begin=0,
        end=60000,
    ),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=60000, val_interval=5000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=96)
