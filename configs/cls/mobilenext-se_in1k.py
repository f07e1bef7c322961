# MobileNeXt with squeeze-and-excitation on ImageNet-1K, with the reduction and the biases that it
# has in the authors' MobileNetV2, behind the first depthwise convolution of a block. No code of it
# was released. The parameters that they count are exactly those of a reduction of 32 without biases
# behind the last one, attention=dict(type='SE', reduction=32, bias=False) and
# attention_position='after_dw2': 3.888 M; this one has 3.914 M.
_base_ = [
    '../_base_/models/classifier_mobilenext.py',
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
    metrics=dict(top1=74.7),
)

model = dict(backbone=dict(attention=dict(type='SE', reduction=24)))
