# SGD for 200 epochs and an average of the weights, as the released script of MobileNeXt. It has a
# learning rate of 0.1 at 128 images per GPU and does not say on how many GPUs; four of them make
# the rate of the base.
_base_ = './cls_sgd_200e.py'

custom_hooks = [dict(type='EMAHook', momentum=2e-4, update_buffers=True, priority='ABOVE_NORMAL')]
