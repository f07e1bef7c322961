# UperNet + ResNet-50 with strip pooling on ADE20K, with mmseg's recipe, which reaches 42.05 mIoU
# without attention. No figure of this network is published, and none was measured here. The module
# stands behind the 3x3 convolutions of the last stage, as in its paper; that one has it in the last
# block of the other stages as well, which mmseg's plugins cannot say. The ImageNet weights of the
# plain ResNet-50 fit; the attention starts from random values.
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
                cfg=dict(type='StripPooling', norm_cfg={{_base_.norm_cfg}}),
                position='after_conv2',
                stages=(False, False, False, True),
            )
        ],
    ),
)

# 4 GPUs x 4 in mmseg.
train_dataloader = dict(batch_size=4)
