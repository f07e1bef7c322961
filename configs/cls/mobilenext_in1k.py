# MobileNeXt on ImageNet-1K. The authors report 74.02 top-1 accuracy with 3.5 M parameters and 0.3
# G multiply-adds; none was measured here.
_base_ = [
    '../_base_/models/classifier_mobilenext_released.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/cls_sgd_200e_ema.py',
    '../_base_/runtime/cls.py',
]

published = dict(
    paper='Rethinking Bottleneck Structure for Efficient Mobile Network Design',
    where="authors' README",
    parameters=3.5,
    flops=0.3,
    flops_shape=(224, 224),
    metrics=dict(top1=74.02),
)
