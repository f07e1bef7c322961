# For RTMDet-S: mosaics of images that were seen before, each mixed with another image.
_base_ = './coco_rtmdet_640.py'

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='CachedMosaic', img_scale={{_base_.size}}, pad_val=114.0),
    # Of the mosaic, which is twice as high and wide.
    dict(type='RandomResize', scale=(1280, 1280), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size={{_base_.size}}),
    dict(type='YOLOXHSVRandomAug'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='Pad', size={{_base_.size}}, pad_val=dict(img=(114, 114, 114))),
    dict(
        type='CachedMixUp',
        img_scale={{_base_.size}},
        ratio_range=(1.0, 1.0),
        max_cached_images=20,
        pad_val=(114, 114, 114),
    ),
    dict(type='PackDetInputs'),
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
