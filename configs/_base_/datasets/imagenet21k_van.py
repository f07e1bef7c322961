# ImageNet-22K, which mmpretrain calls ImageNet21k, at 224x224 as VAN is pre-trained, 64 images per
# GPU. Both lists name images below train, and the number of their class, from 0, in the order of
# the 21841 folders; those of val.txt are held back from train.txt.
_base_ = './pipeline_van_224.py'

data_root = 'data/imagenet21k'

train_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='ImageNet21k',
        data_root=data_root,
        data_prefix='train',
        ann_file='meta/train.txt',
        pipeline={{_base_.train_pipeline}},
    ),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ImageNet21k',
        data_root=data_root,
        data_prefix='train',
        ann_file='meta/val.txt',
        pipeline={{_base_.val_pipeline}},
    ),
)
test_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ImageNet21k',
        data_root=data_root,
        data_prefix='train',
        ann_file='meta/val.txt',
        pipeline={{_base_.test_pipeline}},
    ),
)

val_evaluator = dict(type='Accuracy', topk=(1, 5))
test_evaluator = val_evaluator
