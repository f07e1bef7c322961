# MobileNeXt on ImageNet-1K.
_base_ = [
    '../_base_/models/classifier_mobilenext_released.py',
    '../_base_/datasets/imagenet_mobilenext.py',
    '../_base_/schedules/cls_nag_210e.py',
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
