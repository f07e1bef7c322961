# UperNet + VAN-B2 on ADE20K with ImageNet-1K weights. An earlier README has 48.3 mIoU, probably of
# one scale.
_base_ = [
    '../_base_/models/upernet_van.py',
    '../_base_/datasets/ade20k_multiple_of_32.py',
    '../_base_/schedules/seg_adamw_160k.py',
    '../_base_/runtime/seg.py',
]

published = dict(
    paper='Visual Attention Network',
    where="authors' README",
    parameters=57,
    flops=948,
    flops_shape=(512, 2048),
    metrics=dict(mIoU_ms=50.1),
)
model = dict(
    backbone=dict(arch='b2', init_cfg=dict(type='Pretrained', checkpoint='mmattn://van_b2_in1k')),
)
