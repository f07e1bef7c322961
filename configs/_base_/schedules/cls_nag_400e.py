# SGD with Nesterov momentum for 400 epochs, as the paper of AFF trains on CIFAR-100: a learning
# rate of 0.2, a tenth of it from epoch 300 on and again from 350 on. Its batch size is not known;
# 128 is what its release has on one GPU.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.2, momentum=0.9, nesterov=True, weight_decay=1e-4),
)
param_scheduler = [
    dict(type='MultiStepLR', milestones=[300, 350], gamma=0.1, by_epoch=True, begin=0, end=400),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=400, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=128)
