# The same for 40k iterations (4 GPUs x 4), as mmseg on PASCAL VOC 2012.
_base_ = './seg_sgd_160k.py'

param_scheduler = [
    dict(type='PolyLR', power=0.9, eta_min=1e-4, by_epoch=False, begin=0, end=40000),
]
train_cfg = dict(max_iters=40000, val_interval=4000)
