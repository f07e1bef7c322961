# Inception network with AFF for small images, four modules in each of three stages (b = 4), on the
# 20 superclasses of CIFAR-100. No code of it was released: widths, stem and norms are this
# project's own choice, see `AFFInception`. The paper gives its networks for CIFAR-100 a reduction
# of 4, and one of 2 in a comparison; which of the two its figure has is not known.
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
    metrics=dict(top1=80.1),
)

model = dict(
    backbone=dict(type='AFFInception', num_blocks=4, fusion=dict(type='AFF', reduction=4)),
    head=dict(in_channels=64),
)
