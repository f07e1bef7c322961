# ResNeXt-38 (32x4d) with AFF for small images on the 20 superclasses of CIFAR-100. The recipe is
# the paper's. Its figure is that of the authors' release, which trains longer: 640 epochs, twice,
# with AutoAugment, mixup and smoothed labels.
_base_ = [
    '../_base_/models/classifier_aff_cifar100.py',
    '../_base_/datasets/cifar100_superclasses.py',
    '../_base_/schedules/cls_nag_400e.py',
    '../_base_/runtime/cls.py',
]

published = dict(
    paper='Attentional Feature Fusion',
    where="authors' README, another recipe",
    parameters=7.8,
    flops_shape=(32, 32),
    difference='7.69 M; published is the count for 100 outputs, with which it is 7.77 M',
    metrics=dict(top1=91.2),
)

model = dict(
    backbone=dict(
        type='CIFARAFFResNeXt', num_blocks=4, fusion=dict(type='AFF', reduction=16, scale=2.0)
    ),
    head=dict(in_channels=1024),
)
