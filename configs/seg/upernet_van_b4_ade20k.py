# UperNet + VAN-B4 on ADE20K with ImageNet-1K weights; those of ImageNet-22K, with which it has the
# second figure, are `mmattn://van_b4_in22k`.
_base_ = [
    '../_base_/models/upernet_van.py',
    '../_base_/datasets/ade20k_multiple_of_32.py',
    '../_base_/schedules/seg_adamw_160k.py',
    '../_base_/runtime/seg.py',
]

published = [
    dict(
        paper='Visual Attention Network',
        where="authors' README",
        weights='ImageNet-1K',
        parameters=90,
        flops=1098,
        flops_shape=(512, 2048),
        metrics=dict(mIoU_ms=52.2),
    ),
    dict(
        paper='Visual Attention Network',
        where="authors' README",
        weights='ImageNet-22K',
        metrics=dict(mIoU_ms=53.5),
    ),
]
model = dict(
    backbone=dict(
        arch='b4',
        drop_path_rate=0.4,
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://van_b4_in1k'),
    ),
)

# 8 GPUs x 4 in the release.
train_dataloader = dict(batch_size=4)
auto_scale_lr = dict(base_batch_size=32)
