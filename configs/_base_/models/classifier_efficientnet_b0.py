# EfficientNet-B0, whose squeeze-and-excitation can be exchanged.
_base_ = './image_classifier_mobile.py'

model = dict(
    backbone=dict(type='CoordAttEfficientNet', arch='b0', out_indices=(6,)),
    neck=dict(drop_rate=0.2),
    head=dict(loss=dict(type='CrossEntropyLoss', loss_weight=1.0)),
)
