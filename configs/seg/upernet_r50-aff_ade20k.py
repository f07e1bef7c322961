# UperNet + AFF-ResNet-50 on ADE20K: attentional feature fusion in place of the sums of the last two
# stages, as the paper has it on ImageNet. It has no figure on ADE20K, and none was measured here.
# The recipe is mmseg's, which reaches 42.05 mIoU with a ResNet-50-V1c. The ImageNet weights of that
# one fit; the fusion starts from random values.
_base_ = [
    '../_base_/models/upernet.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/schedules/seg_sgd_160k.py',
    '../_base_/runtime/seg.py',
]

model = dict(
    backbone=dict(
        type='AFFResNet',
        depth=50,
        norm_cfg={{_base_.norm_cfg}},
        deep_stem=True,
        fusion=dict(type='AFF', reduction=16, scale=2.0, norm_cfg={{_base_.norm_cfg}}),
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://resnet50_v1c'),
    ),
    decode_head=dict(in_channels=[256, 512, 1024, 2048]),
    auxiliary_head=dict(in_channels=1024),
)

# 4 GPUs x 4 in mmseg.
train_dataloader = dict(batch_size=4)
