# COCO 2017 tested on boxes; how images are trained is left open.
_base_ = './coco_short_side_800.py'

test_pipeline = [
    # By the name that inferencers look for.
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='Resize', scale=(1333, 800), keep_ratio=True),
    # After the resizing, so that boxes stay in the size of the file.
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
# The validation reads with a loader that names a file that is wrong.
val_pipeline = [dict(type='LoadImage'), *test_pipeline[1:]]

val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

val_evaluator = dict(metric='bbox')
test_evaluator = dict(metric='bbox')
