# MobileNeXt with a slot for attention in its blocks.
_base_ = './image_classifier.py'

model = dict(
    backbone=dict(type='MobileNeXt', out_indices=(7,)),
    neck=dict(_delete_=True, type='PooledDropout', drop_rate=0.2),
    head=dict(in_channels=1280),
)
