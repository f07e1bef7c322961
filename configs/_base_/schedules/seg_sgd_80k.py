# SGD for 80k iterations at a total batch size of 8 (4 GPUs x 2), as mmseg on Cityscapes.
_base_ = './seg_sgd.py'

param_scheduler = [
    dict(type='PolyLR', power=0.9, eta_min=1e-4, by_epoch=False, begin=0, end=80000),
]
train_cfg = dict(max_iters=80000, val_interval=8000)
auto_scale_lr = dict(base_batch_size=8)
