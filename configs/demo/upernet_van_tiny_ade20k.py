# UperNet + a small VAN on generated scenes, for some minutes on a CPU: what tools/demo.py trains.
_base_ = [
    '../_base_/models/upernet_van.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/runtime/seg.py',
]

# The classes of the generated scenes, in ADE20K's order.
metainfo = dict(
    classes=(
        'building',
        'sky',
        'tree',
        'road',
        'grass',
        'earth',
        'mountain',
        'house',
        'sea',
        'hill',
        'boat',
        'airplane',
    )
)
num_classes = 12

model = dict(
    data_preprocessor=dict(size=(96, 128)),
    backbone=dict(
        arch=dict(embed_dims=(16, 32, 64, 96), depths=(1, 1, 2, 1), mlp_ratios=(4, 4, 4, 4)),
        drop_path_rate=0.0,
    ),
    decode_head=dict(
        in_channels=[16, 32, 64, 96], channels=64, dropout_ratio=0.0, num_classes=num_classes
    ),
    auxiliary_head=dict(in_channels=64, channels=32, num_classes=num_classes),
)

# Neither crop nor flip: in these scenes the place decides, left and right as well.
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadSegMap', max_label=150),
    dict(type='Resize', scale=(128, 96), keep_ratio=False),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    # By the names that inferencers look for.
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='Resize', scale=(128, 96), keep_ratio=False),
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
# Flips would swap left and right, and there is one scale.
tta_pipeline = None

data_root = 'work_dirs/demo/data'
train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    dataset=dict(data_root=data_root, metainfo=metainfo, pipeline=train_pipeline),
)
val_dataloader = dict(
    num_workers=1,
    dataset=dict(data_root=data_root, metainfo=metainfo, pipeline=val_pipeline),
)
test_dataloader = dict(
    num_workers=1,
    dataset=dict(data_root=data_root, metainfo=metainfo, pipeline=test_pipeline),
)

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.01),
    paramwise_cfg=dict(custom_keys={'norm': dict(decay_mult=0.0)}),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=20, end=300),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=300, val_interval=50)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=50))
randomness = dict(seed=0)
