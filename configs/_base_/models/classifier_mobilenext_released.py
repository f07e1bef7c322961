# MobileNeXt with the label smoothing of its release.
_base_ = './image_classifier_mobile.py'

model = dict(
    backbone=dict(type='MobileNeXt', out_indices=(7,)),
    neck=dict(drop_rate=0.2),
    head=dict(loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original')),
)
