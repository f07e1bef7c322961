# SGD for 40k iterations at a total batch size of 16 (4 GPUs x 4), as mmseg on PASCAL VOC 2012.
_base_ = './seg_sgd.py'

param_scheduler = [
    dict(type='PolyLR', power=0.9, eta_min=1e-4, by_epoch=False, begin=0, end=40000),
]
train_cfg = dict(max_iters=40000, val_interval=4000)
auto_scale_lr = dict(base_batch_size=16)
