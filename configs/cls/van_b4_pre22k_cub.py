# VAN-B4 fine-tuned on CUB-200-2011 from ImageNet-22K weights. The paper states the result alone:
# size, schedule, augmentation and drop path rate are chosen here, as the release fine-tunes on
# ImageNet-1K at 224x224.
_base_ = [
    '../_base_/models/classifier_van_finetune.py',
    '../_base_/datasets/cub_van_finetune_224.py',
    '../_base_/schedules/cls_adamw_30e.py',
    '../_base_/runtime/cls.py',
]

published = dict(
    paper='Visual Attention Network',
    where='fine-grained classification on CUB-200',
    weights='ImageNet-22K',
    metrics=dict(top1=91.3),
)

model = dict(
    data_preprocessor=dict(num_classes=200),
    backbone=dict(
        arch='b4',
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://van_b4_in22k'),
    ),
    head=dict(num_classes=200),
)
