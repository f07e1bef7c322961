# Cityscapes, trained on crops of 1024x1024.
_base_ = './cityscapes_loaders.py'

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadSegMap', max_label=18, ignore_index=255),
    dict(type='RandomResize', scale=(2048, 1024), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(1024, 1024), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(batch_size=1, dataset=dict(pipeline=train_pipeline))
