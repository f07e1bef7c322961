# What the classifiers with smoothed labels share: global average pooling.
_base_ = './image_classifier.py'

model = dict(
    neck=dict(type='GlobalAveragePooling'),
    head=dict(loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original')),
)
