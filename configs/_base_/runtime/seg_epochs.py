# Segmentation counted in epochs.
_base_ = './seg_default.py'

default_hooks = dict(checkpoint=dict(by_epoch=True, interval=10))
log_processor = dict(by_epoch=True)
