# Images of 320x320 pixels, trained with the augmentations of SSD as the authors of MobileNeXt and
# coordinate attention released them.
ssd_train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PhotoMetricDistortion',
        brightness_delta=32,
        contrast_range=(0.5, 1.5),
        saturation_range=(0.5, 1.5),
        hue_delta=18,
    ),
    # What is added around an image has the colour that the model takes for zero.
    dict(type='Expand', mean=[123, 117, 104], to_rgb=True, ratio_range=(1, 4)),
    # The whole image, any crop, or one of these overlaps; SSD itself has 0.5, too.
    dict(type='MinIoURandomCrop', min_ious=(0.1, 0.3, 0.7, 0.9), min_crop_size=0.3),
    dict(type='Resize', scale=(320, 320), keep_ratio=False),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
ssd_test_pipeline = [
    # By the name that inferencers look for.
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='Resize', scale=(320, 320), keep_ratio=False),
    # After the resizing, so that boxes stay in the size of the file.
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
# The validation reads with a loader that names a file that is wrong.
ssd_val_pipeline = [dict(type='LoadImage'), *ssd_test_pipeline[1:]]
