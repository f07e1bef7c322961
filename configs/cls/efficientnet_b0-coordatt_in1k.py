# EfficientNet-B0 with coordinate attention in place of squeeze-and-excitation on ImageNet-1K. The
# paper's recipe for this network is not known; this is the one of its other networks.
_base_ = [
    '../_base_/models/classifier_efficientnet_b0.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/cls_sgd_200e.py',
    '../_base_/runtime/cls.py',
]

published = dict(
    paper='Coordinate Attention for Efficient Mobile Network Design',
    where='comparison on EfficientNet',
    parameters=5.4,
    flops=0.4,
    flops_shape=(224, 224),
    metrics=dict(top1=76.9),
    verified=False,
)

model = dict(backbone=dict(attention=dict(type='CoordAtt', reduction=32)))
