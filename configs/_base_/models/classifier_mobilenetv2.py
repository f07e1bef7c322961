# MobileNetV2 with a slot for attention in its blocks.
_base_ = './image_classifier_mobile.py'

model = dict(
    backbone=dict(type='CoordAttMobileNetV2', out_indices=(7,)),
    neck=dict(drop_rate=0.1),
    head=dict(loss=dict(type='CrossEntropyLoss', loss_weight=1.0)),
)
