# UperNet + VAN-B2 on ADE20K with ImageNet-1K weights. The paper reports 50.1 mIoU at 57 M
# parameters and 948 G multiply-adds at 2048x512 (Visual Attention Network, authors' README); not
# measured here. The figure is of several scales; an earlier README has 48.3, probably of one.
# Without such weights (see "Load published weights" in the README) the backbone starts from random
# values.
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
model = dict(backbone=dict(arch='b2'))
