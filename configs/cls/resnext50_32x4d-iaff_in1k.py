# ResNeXt-50 (32x4d) with iAFF on ImageNet-1K, with the recipe of the second run of the authors'
# release. The paper itself has 79.8 top-1 accuracy (table 5, as errors).
_base_ = [
    '../_base_/models/classifier_aff_resnet.py',
    '../_base_/datasets/imagenet_aff.py',
    '../_base_/schedules/cls_nag_240e.py',
    '../_base_/runtime/cls.py',
]

published = dict(
    paper='Attentional Feature Fusion',
    where="authors' second run",
    parameters=34.7,
    metrics=dict(top1=80.22),
)

model = dict(
    backbone=dict(
        groups=32, base_width=4, stem_channels=128, fusion=dict(type='iAFF', reduction=16)
    )
)
