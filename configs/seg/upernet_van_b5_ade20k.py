# UperNet + VAN-B5 on ADE20K with ImageNet-22K weights.
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
    parameters=117,
    flops=1208,
    flops_shape=(512, 2048),
    metrics=dict(mIoU_ms=53.9),
    difference='B5 has 89.2 M (90.0 M with its classifier, as published); heads of the released '
    'widths have 32.7 M',
)
model = dict(
    backbone=dict(
        arch='b5',
        drop_path_rate=0.4,
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://van_b5_in22k'),
    ),
    decode_head=dict(in_channels=[96, 192, 480, 768]),
    auxiliary_head=dict(in_channels=480),
)
