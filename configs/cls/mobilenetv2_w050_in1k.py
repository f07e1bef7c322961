# MobileNetV2 of width 0.5 on ImageNet-1K. The authors report 65.4 top-1 accuracy with 2 M
# parameters and 0.1 G multiply-adds, figures not verified against the paper's text; none was
# measured here.
_base_ = [
    '../_base_/models/classifier_mobilenetv2.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/cls_sgd_200e.py',
    '../_base_/runtime/cls.py',
]

published = dict(
    paper='Coordinate Attention for Efficient Mobile Network Design',
    where='comparison of widths',
    parameters=2,
    flops=0.1,
    flops_shape=(224, 224),
    metrics=dict(top1=65.4),
    verified=False,
)

model = dict(backbone=dict(widen_factor=0.5, attention=None))
