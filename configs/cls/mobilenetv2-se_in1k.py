# MobileNetV2 with squeeze-and-excitation on ImageNet-1K. SE has ReLU6 in its bottleneck and starts
# as all convolutions do, as in the authors' code.
_base_ = [
    '../_base_/models/classifier_mobilenetv2.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/cls_sgd_200e.py',
    '../_base_/runtime/cls.py',
]

published = dict(
    paper='Coordinate Attention for Efficient Mobile Network Design',
    where="authors' README",
    parameters=3.89,
    flops=0.3,
    flops_shape=(224, 224),
    metrics=dict(top1=73.5),
)

model = dict(
    backbone=dict(
        attention=dict(
            type='SE',
            reduction=24,
            act_cfg=dict(type='ReLU6'),
            init_cfg=dict(type='Kaiming', layer='Linear'),
        )
    )
)
