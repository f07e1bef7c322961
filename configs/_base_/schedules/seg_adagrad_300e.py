# AdaGrad for 300 epochs at a batch size of 32, as AFF's paper trains on stop signs: a learning rate
# of 0.01 that falls by a polynomial. Its power is not published; 0.9 is mmseg's.
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adagrad', lr=0.01))
param_scheduler = [
    dict(
        type='PolyLR',
        power=0.9,
        eta_min=0.0,
        by_epoch=True,
        begin=0,
        end=300,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=300, val_interval=10)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=32)
