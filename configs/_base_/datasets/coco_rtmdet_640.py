# COCO 2017 with boxes for RTMDet: 32 images of 640x640 pixels per GPU. How these are trained on is
# left open.
_base_ = './coco_val2017.py'

size = (640, 640)

test_pipeline = [
    # By the name that inferencers look for.
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='Resize', scale=size, keep_ratio=True),
    dict(type='Pad', size=size, pad_val=dict(img=(114, 114, 114))),
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
    batch_size=32,
    pin_memory=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    # All images have one size.
    batch_sampler=None,
    dataset=dict(
        type='CocoDataset',
        data_root={{_base_.data_root}},
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
    ),
)
val_dataloader = dict(batch_size=5, dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(batch_size=5, dataset=dict(pipeline=test_pipeline))

val_evaluator = dict(metric='bbox', proposal_nums=(100, 1, 10))
test_evaluator = dict(metric='bbox', proposal_nums=(100, 1, 10))
