# UperNet + VAN-B6 on ADE20K. The authors report 54.7 mIoU, several scales, with ImageNet-22K
# weights; none was measured here. Without such weights (see "Load published weights" in the README)
# the backbone starts from random values.
_base_ = [
    '../_base_/models/upernet_van.py',
    '../_base_/datasets/ade20k_multiple_of_32.py',
    '../_base_/schedules/seg_adamw_160k.py',
    '../_base_/runtime/seg.py',
]

model = dict(
    backbone=dict(arch='b6', drop_path_rate=0.5),
    decode_head=dict(in_channels=[96, 192, 384, 768]),
    auxiliary_head=dict(in_channels=384),
)
