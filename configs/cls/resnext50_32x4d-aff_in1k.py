# ResNeXt-50 (32x4d) with AFF on ImageNet-1K, with the recipe of the second run of the authors'
# release. The paper itself has 79.2 top-1 accuracy (table 5, as errors).
_base_ = [
    '../_base_/models/classifier_aff_resnet.py',
    '../_base_/datasets/imagenet_aff.py',
    '../_base_/schedules/cls_nag_240e.py',
    '../_base_/runtime/cls.py',
]

published = dict(
    paper='Attentional Feature Fusion',
    where="authors' second run",
    parameters=29.9,
    metrics=dict(top1=79.72),
)

model = dict(
    backbone=dict(
        groups=32, base_width=4, stem_channels=128, fusion=dict(type='AFF', reduction=16, scale=2.0)
    )
)
