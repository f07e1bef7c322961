# Semantic FPN + VAN-B0 on ADE20K, 40k iterations, with ImageNet-1K weights. A user's run with the
# released code gave 38.65. The recipe is that of the released config; the paper states that of
# UperNet for all.
_base_ = [
    '../_base_/models/fpn_van.py',
    '../_base_/datasets/ade20k_multiple_of_32.py',
    '../_base_/schedules/seg_adamw_40k.py',
    '../_base_/runtime/seg.py',
]

published = dict(
    paper='Visual Attention Network',
    where="authors' README",
    parameters=8,
    flops=26,
    flops_shape=(512, 512),
    metrics=dict(mIoU=38.5),
)
model = dict(
    backbone=dict(
        arch='b0',
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://van_b0_in1k'),
    ),
    neck=dict(in_channels=[32, 64, 160, 256]),
)

# 8 GPUs x 4 in the release.
train_dataloader = dict(batch_size=4)
