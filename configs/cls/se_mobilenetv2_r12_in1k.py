# MobileNetV2 with squeeze-and-excitation of reduction 12 on ImageNet-1K. The authors report 74.1
# top-1 accuracy, figures not verified against the paper's text; none was measured here.
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

model = dict(backbone=dict(attention=dict(type='SE', reduction=12)))
