# What the classifiers of mobile networks share: ImageNet's colours, dropout behind the pooling,
# 1280 channels.
_base_ = './image_classifier.py'

model = dict(
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    neck=dict(type='PooledDropout'),
    head=dict(in_channels=1280),
)
