# SGD for 200k iterations at a total batch size of 256 (8 GPUs x 32), as the SSDLite of the authors
# of MobileNeXt: their file says 0.01 and 1.6M for one GPU, their code multiplies and divides by 8.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.08, momentum=0.9, weight_decay=4e-5),
)
# The cosine counts from the first iteration on, below the warm-up.
param_scheduler = [
    dict(type='LinearLR', start_factor=1 / 3, by_epoch=False, begin=0, end=500),
    dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=False, begin=0, end=200000),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=200000, val_interval=5000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=256)
