# UperNet + VAN-B6 on ADE20K with ImageNet-22K weights.
_base_ = [
    '../_base_/models/upernet_van.py',
    '../_base_/datasets/ade20k_multiple_of_32.py',
    '../_base_/schedules/seg_adamw_160k.py',
    '../_base_/runtime/seg.py',
]

published = dict(
    paper='Visual Attention Network',
    where="authors' README",
    weights='ImageNet-22K',
    parameters=231,
    flops=1658,
    flops_shape=(512, 2048),
    metrics=dict(mIoU_ms=54.7),
)
model = dict(
    backbone=dict(
        arch='b6',
        drop_path_rate=0.5,
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://van_b6_in22k'),
    ),
    decode_head=dict(in_channels=[96, 192, 384, 768]),
    auxiliary_head=dict(in_channels=384),
)
