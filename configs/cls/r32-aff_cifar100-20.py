# ResNet-32 with AFF for small images on the 20 superclasses of CIFAR-100. The recipe is the
# paper's. Its figure is that of the authors' release, which trains longer: 640 epochs, twice, with
# AutoAugment, mixup, smoothed labels and a cosine.
_base_ = [
    '../_base_/models/classifier_aff_cifar100.py',
    '../_base_/datasets/cifar100_superclasses.py',
    '../_base_/schedules/cls_nag_400e.py',
    '../_base_/runtime/cls.py',
]

published = dict(
    paper='Attentional Feature Fusion',
    where="authors' README, another recipe",
    parameters=7.9,
    flops_shape=(32, 32),
    metrics=dict(top1=90.8),
)

model = dict(
    backbone=dict(
        type='CIFARAFFResNet', num_blocks=5, fusion=dict(type='AFF', reduction=4, scale=2.0)
    ),
    head=dict(in_channels=256),
)
