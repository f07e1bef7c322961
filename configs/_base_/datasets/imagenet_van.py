# ImageNet-1K with the augmentation of VAN's release (timm's rand-m9-mstd0.5-inc1 and random
# erasing), 128 images per GPU, tested on the central 90% of the short side.
_base_ = './imagenet_loaders.py'

train_pipeline = [
    dict(type='LoadImage'),
    # The release draws bilinear or bicubic for each image.
    dict(type='RandomResizedCrop', scale=224, backend='pillow', interpolation='bicubic'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(
        type='RandAugment',
        policies='timm_increasing',
        num_policies=2,
        total_level=10,
        magnitude_level=9,
        magnitude_std=0.5,
        hparams=dict(pad_val=[128, 128, 128], interpolation='bicubic'),
    ),
    dict(
        type='RandomErasing',
        erase_prob=0.25,
        mode='rand',
        min_area_ratio=0.02,
        max_area_ratio=1 / 3,
        fill_color=[127.5, 127.5, 127.5],
        fill_std=[127.5, 127.5, 127.5],
    ),
    dict(type='PackInputs'),
]
test_pipeline = [
    # By the name that inferencers look for.
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='ResizeEdge', scale=248, edge='short', backend='pillow', interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
# The validation reads with a loader that names a file that is wrong.
val_pipeline = [dict(type='LoadImage'), *test_pipeline[1:]]
train_dataloader = dict(batch_size=128, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=128, dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(batch_size=128, dataset=dict(pipeline=test_pipeline))
