# CUB-200-2011 at 224x224 as VAN is fine-tuned on ImageNet-1K, 32 images per GPU.
_base_ = './pipeline_van_224.py'

data_root = 'data/CUB_200_2011'

train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='CUB', data_root=data_root, split='train', pipeline={{_base_.train_pipeline}}
    ),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='CUB', data_root=data_root, split='test', pipeline={{_base_.val_pipeline}}),
)
test_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='CUB', data_root=data_root, split='test', pipeline={{_base_.test_pipeline}}),
)

val_evaluator = dict(type='Accuracy', topk=(1, 5))
test_evaluator = val_evaluator
