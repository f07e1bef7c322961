# UperNet + VAN-B1 on ADE20K with ImageNet-1K weights. The table says several scales, but the
# published figure is older than that label and probably of one scale.
_base_ = [
    '../_base_/models/upernet_van.py',
    '../_base_/datasets/ade20k_multiple_of_32.py',
    '../_base_/schedules/seg_adamw_160k.py',
    '../_base_/runtime/seg.py',
]

published = dict(
    paper='Visual Attention Network',
    where="authors' README",
    parameters=44,
    flops_shape=(512, 2048),
    metrics=dict(mIoU_ms=44.9),
)
model = dict(
    backbone=dict(
        arch='b1',
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://van_b1_in1k'),
    ),
)
