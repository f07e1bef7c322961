# EfficientNet-B0 on ImageNet-1K. The paper's recipe for this network is not known; this is the one
# of its other networks.
_base_ = [
    '../_base_/models/classifier_efficientnet_b0.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/cls_sgd_200e.py',
    '../_base_/runtime/cls.py',
]

published = dict(
    paper='Coordinate Attention for Efficient Mobile Network Design',
    where='comparison on EfficientNet',
    parameters=5.3,
    flops=0.39,
    flops_shape=(224, 224),
    metrics=dict(top1=76.3),
    verified=False,
)

model = dict(backbone=dict(attention=None))
