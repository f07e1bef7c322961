# UperNet + VAN-B3 on ADE20K with ImageNet-1K weights.
_base_ = [
    '../_base_/models/upernet_van.py',
    '../_base_/datasets/ade20k_multiple_of_32.py',
    '../_base_/schedules/seg_adamw_160k.py',
    '../_base_/runtime/seg.py',
]

published = dict(
    paper='Visual Attention Network',
    where="authors' README",
    parameters=75,
    flops=1030,
    flops_shape=(512, 2048),
    metrics=dict(mIoU_ms=50.6),
)
model = dict(
    backbone=dict(
        arch='b3',
        drop_path_rate=0.3,
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://van_b3_in1k'),
    ),
)
