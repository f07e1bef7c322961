# ImageNet-1K with random crops, flips and the colour jitter of MobileNeXt's release, 64 images per
# GPU, tested on the central 224x224 of 256.
_base_ = './imagenet_loaders.py'

train_pipeline = [
    dict(type='LoadImage'),
    # The release draws bilinear or bicubic for each image.
    dict(type='RandomResizedCrop', scale=224, backend='pillow', interpolation='bicubic'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4),
    dict(type='PackInputs'),
]
test_pipeline = [
    # By the name that inferencers look for.
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='ResizeEdge', scale=256, edge='short', backend='pillow', interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
# The validation reads with a loader that names a file that is wrong.
val_pipeline = [dict(type='LoadImage'), *test_pipeline[1:]]
train_dataloader = dict(batch_size=64, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=64, dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(batch_size=64, dataset=dict(pipeline=test_pipeline))
