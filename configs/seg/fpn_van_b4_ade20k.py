# Semantic FPN + VAN-B4 on ADE20K, 40k iterations. The release has this config, with ImageNet-1K
# weights, but no result of it; none was measured here.
_base_ = [
    '../_base_/models/fpn_van.py',
    '../_base_/datasets/ade20k_multiple_of_32.py',
    '../_base_/schedules/seg_adamw_40k.py',
    '../_base_/runtime/seg.py',
]

model = dict(
    backbone=dict(
        arch='b4',
        drop_path_rate=0.4,
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://van_b4_in1k'),
    ),
)

# 8 GPUs x 4 in the release.
train_dataloader = dict(batch_size=4)
