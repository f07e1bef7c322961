# EfficientNet-B0, whose squeeze-and-excitation can be exchanged.
_base_ = './image_classifier.py'

model = dict(
    backbone=dict(type='CoordAttEfficientNet', arch='b0', out_indices=(6,)),
    neck=dict(_delete_=True, type='PooledDropout', drop_rate=0.2),
    head=dict(in_channels=1280),
)
