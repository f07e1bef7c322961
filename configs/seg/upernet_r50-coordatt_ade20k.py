# UperNet + ResNet-50 with coordinate attention on ADE20K, with mmseg's recipe, which reaches 42.05
# mIoU without attention. No figure of this network is published, and none was measured here. The
# paper has no ResNet: as behind the depthwise convolution of MobileNetV2, the module stands behind
# the 3x3 convolution of every block. The ImageNet weights of the plain ResNet-50 fit; the attention
# starts from random values.
_base_ = [
    '../_base_/models/upernet_r50.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/schedules/seg_sgd_160k.py',
    '../_base_/runtime/seg.py',
]

model = dict(
    backbone=dict(
        plugins=[
            dict(
                cfg=dict(type='CoordAtt', reduction=32, norm_cfg={{_base_.norm_cfg}}),
                position='after_conv2',
            )
        ],
    ),
)

# 4 GPUs x 4 in mmseg.
train_dataloader = dict(batch_size=4)
