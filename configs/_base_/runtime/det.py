# Detection counted in epochs.
_base_ = './det_default.py'

default_hooks = dict(checkpoint=dict(by_epoch=True, interval=1))
log_processor = dict(by_epoch=True)
