# ImageNet-1K with the augmentation of AFF's release, 128 images per GPU, tested on the central
# 224x224 of 256. Its option for AutoAugment has no effect on the record files that it reads. Like
# them, sizes are changed by OpenCV; decoding by Pillow is this project's own choice.
_base_ = './imagenet_loaders.py'

train_pipeline = [
    # Numbers with fractions, since Lighting lets whole ones run over: 255 and 1 would be 0.
    dict(type='LoadImage', to_float32=True),
    dict(type='RandomResizedCrop', scale=224, backend='cv2', interpolation='bilinear'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, backend='cv2'),
    # The principal components of ImageNet's colours from 0 to 255, blue first.
    dict(
        type='Lighting',
        eigval=[55.46, 4.794, 1.148],
        eigvec=[
            [-0.5836, -0.6948, 0.4203],
            [-0.5808, -0.0045, -0.8140],
            [-0.5675, 0.7192, 0.4009],
        ],
        alphastd=0.1,
    ),
    dict(type='PackInputs'),
]
test_pipeline = [
    # By the name that inferencers look for.
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='ResizeEdge', scale=256, edge='short', backend='cv2', interpolation='bilinear'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
# The validation reads with a loader that names a file that is wrong.
val_pipeline = [dict(type='LoadImage'), *test_pipeline[1:]]
train_dataloader = dict(batch_size=128, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=128, dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(batch_size=128, dataset=dict(pipeline=test_pipeline))
