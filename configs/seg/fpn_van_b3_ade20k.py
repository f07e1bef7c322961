# Semantic FPN + VAN-B3 on ADE20K, 40k iterations, with ImageNet-1K weights. The recipe is that of
# the released config; the paper states that of UperNet for all.
_base_ = [
    '../_base_/models/fpn_van.py',
    '../_base_/datasets/ade20k_multiple_of_32.py',
    '../_base_/schedules/seg_adamw_40k.py',
    '../_base_/runtime/seg.py',
]

published = dict(
    paper='Visual Attention Network',
    where="authors' README",
    parameters=49,
    flops=68,
    flops_shape=(512, 512),
    metrics=dict(mIoU=48.1),
)
model = dict(
    backbone=dict(
        arch='b3',
        drop_path_rate=0.3,
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://van_b3_in1k'),
    ),
)

# 8 GPUs x 4 in the release.
train_dataloader = dict(batch_size=4)
