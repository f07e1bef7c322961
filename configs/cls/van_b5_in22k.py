# VAN-B5 pre-trained on ImageNet-22K at 224x224: what van_b5_pre22k_in1k starts from. The recipe is
# that of the released script, which names B4; it validates nothing, and to hold images back is
# chosen here.
_base_ = [
    '../_base_/models/classifier_van_22k.py',
    '../_base_/datasets/imagenet21k_van.py',
    '../_base_/schedules/cls_adamw_90e.py',
    '../_base_/runtime/cls.py',
]

model = dict(
    data_preprocessor=dict(num_classes=21841),
    backbone=dict(arch='b5'),
    head=dict(num_classes=21841, in_channels=768),
)
