# ResNet with AFF for small images, four blocks in each of three stages (b = 4), on the 20
# superclasses of CIFAR-100. The paper gives its networks for CIFAR-100 a reduction of 4, and one of
# 2 in a comparison; which of the two its figure has is not known. The widths are those that the
# authors' release has by default.
_base_ = [
    '../_base_/models/classifier_aff_cifar100.py',
    '../_base_/datasets/cifar100_superclasses.py',
    '../_base_/schedules/cls_nag_400e.py',
    '../_base_/runtime/cls.py',
]

published = dict(
    paper='Attentional Feature Fusion',
    where='ablation of scales',
    flops_shape=(32, 32),
    metrics=dict(top1=82.6),
)

model = dict(
    backbone=dict(
        type='CIFARAFFResNet', num_blocks=4, fusion=dict(type='AFF', reduction=4, scale=2.0)
    ),
    head=dict(in_channels=256),
)
