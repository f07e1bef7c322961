# CamVid in the split and with the 11 classes of SegNet; label 11 is "no label". Images of 480x360
# are read at half their size and compared at their own.
data_root = 'data/CamVid'

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadSegMap', max_label=11, ignore_index=255),
    dict(type='RandomResize', scale=(240, 180), ratio_range=(0.75, 1.5), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(144, 192), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    # By the names that inferencers look for.
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='Resize', scale=(240, 180), keep_ratio=True),
    # After the resizing, so that a prediction is compared in the size of the label map.
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
# The validation reads with loaders that name a file that is wrong.
val_pipeline = [
    dict(type='LoadImage'),
    *test_pipeline[1:-2],
    dict(type='LoadSegMap', max_label=11, ignore_index=255),
    test_pipeline[-1],
]

train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='CamVidDataset',
        data_root=data_root,
        data_prefix=dict(img_path='train', seg_map_path='trainannot'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CamVidDataset',
        data_root=data_root,
        data_prefix=dict(img_path='val', seg_map_path='valannot'),
        pipeline=val_pipeline,
    ),
)
test_dataloader = dict(
    val_dataloader,
    dataset=dict(
        val_dataloader['dataset'],
        data_prefix=dict(img_path='test', seg_map_path='testannot'),
        pipeline=test_pipeline,
    ),
)

val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
