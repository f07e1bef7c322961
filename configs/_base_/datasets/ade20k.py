# ADE20K, tested at the size that a short side of 512 makes.
_base_ = './ade20k_loaders.py'

test_pipeline = [
    # By the names that inferencers look for.
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='Resize', scale=(2048, 512), keep_ratio=True),
    # After the resizing, so that a prediction is compared in the size of the label map.
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
# The validation reads with loaders that name a file that is wrong.
val_pipeline = [
    dict(type='LoadImage'),
    *test_pipeline[1:-2],
    dict(type='LoadSegMap', max_label=150),
    test_pipeline[-1],
]
tta_pipeline = [
    dict(type='LoadImage'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale=(int(2048 * ratio), int(512 * ratio)), keep_ratio=True)
                for ratio in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
            ],
            [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)],
            [dict(type='LoadSegMap', max_label=150)],
            [dict(type='PackSegInputs')],
        ],
    ),
]

val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
