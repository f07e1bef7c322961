# MobileNetV2 with squeeze-and-excitation of reduction 12 on ImageNet-1K. SE has ReLU6 in its
# bottleneck and starts as all convolutions do, as in the authors' code.
_base_ = [
    '../_base_/models/classifier_mobilenetv2.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/cls_sgd_200e.py',
    '../_base_/runtime/cls.py',
]

published = dict(
    paper='Coordinate Attention for Efficient Mobile Network Design',
    where='ablation',
    metrics=dict(top1=74.1),
    verified=False,
)

model = dict(
    backbone=dict(
        attention=dict(
            type='SE',
            reduction=12,
            act_cfg=dict(type='ReLU6'),
            init_cfg=dict(type='Kaiming', layer='Linear'),
        )
    )
)
