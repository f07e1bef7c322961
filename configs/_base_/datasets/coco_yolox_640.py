# COCO 2017 with boxes for YOLOX: 8 images of 640x640 pixels per GPU, trained on mosaics of four
# images with a fifth mixed in, until the hook of the schedule takes both away.
_base_ = './coco_val2017.py'

size = (640, 640)

train_pipeline = [
    dict(type='Mosaic', img_scale=size, pad_val=114.0),
    # Cuts the middle out of the mosaic, which is twice as high and wide.
    dict(type='RandomAffine', scaling_ratio_range=(0.1, 2), border=(-320, -320)),
    dict(type='MixUp', img_scale=size, ratio_range=(0.8, 1.6), pad_val=114.0),
    dict(type='YOLOXHSVRandomAug'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='Resize', scale=size, keep_ratio=True),
    dict(type='Pad', pad_to_square=True, pad_val=dict(img=(114.0, 114.0, 114.0))),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1, 1), keep_empty=False),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    # By the name that inferencers look for.
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='Resize', scale=size, keep_ratio=True),
    dict(type='Pad', pad_to_square=True, pad_val=dict(img=(114.0, 114.0, 114.0))),
    # After the resizing, so that boxes stay in the size of the file.
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
# The validation reads with a loader that names a file that is wrong.
val_pipeline = [dict(type='LoadImage'), *test_pipeline[1:]]

train_dataloader = dict(
    batch_size=8,
    sampler=dict(type='DefaultSampler', shuffle=True),
    # All images have one size.
    batch_sampler=None,
    dataset=dict(
        type='MultiImageMixDataset',
        dataset=dict(
            type='CocoDataset',
            data_root={{_base_.data_root}},
            ann_file='annotations/instances_train2017.json',
            data_prefix=dict(img='train2017/'),
            filter_cfg=dict(filter_empty_gt=False, min_size=32),
            pipeline=[
                dict(type='LoadImage'),
                dict(type='LoadAnnotations', with_bbox=True),
            ],
        ),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(batch_size=8, dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(batch_size=8, dataset=dict(pipeline=test_pipeline))

val_evaluator = dict(metric='bbox')
test_evaluator = dict(metric='bbox')
