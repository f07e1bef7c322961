# UperNet + VAN-B2 on ADE20K. The authors report 50.1 mIoU, several scales, with ImageNet-1K
# weights; none was measured here. Without such weights (see "Load published weights" in the README)
# the backbone starts from random values.
_base_ = [
    '../_base_/models/upernet_van.py',
    '../_base_/datasets/ade20k_multiple_of_32.py',
    '../_base_/schedules/seg_adamw_160k.py',
    '../_base_/runtime/seg.py',
]

model = dict(backbone=dict(arch='b2'))
