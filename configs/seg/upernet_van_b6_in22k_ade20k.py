# UperNet + VAN-B6 on ADE20K with ImageNet-22K weights. The paper reports 54.7 mIoU at 231 M
# parameters and 1658 G multiply-adds at 2048x512 (Visual Attention Network, authors' README); not
# measured here. The figure is of several scales. Only the figure differs from
# upernet_van_b6_ade20k. Without such weights (see "Load published weights" in the README) the
# backbone starts from random values.
_base_ = [
    '../_base_/models/upernet_van.py',
    '../_base_/datasets/ade20k_multiple_of_32.py',
    '../_base_/schedules/seg_adamw_160k.py',
    '../_base_/runtime/seg.py',
]

published = dict(
    paper='Visual Attention Network',
    where="authors' README",
    parameters=231,
    flops=1658,
    flops_shape=(512, 2048),
    metrics=dict(mIoU_ms=54.7),
)
model = dict(
    backbone=dict(arch='b6', drop_path_rate=0.5),
    decode_head=dict(in_channels=[96, 192, 384, 768]),
    auxiliary_head=dict(in_channels=384),
)
