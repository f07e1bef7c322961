# UperNet + VAN-B4 on ADE20K with ImageNet-22K weights. The paper reports 53.5 mIoU at 90 M
# parameters and 1098 G multiply-adds at 2048x512 (Visual Attention Network, authors' README); not
# measured here. The figure is of several scales. Only the weights and the figure differ from
# upernet_van_b4_ade20k. Without such weights (see "Load published weights" in the README) the
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
    parameters=90,
    flops=1098,
    flops_shape=(512, 2048),
    metrics=dict(mIoU_ms=53.5),
)
model = dict(backbone=dict(arch='b4', drop_path_rate=0.4))

# 8 GPUs x 4 in the release.
train_dataloader = dict(batch_size=4)
auto_scale_lr = dict(base_batch_size=32)
