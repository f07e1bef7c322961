# SegNeXt + MSCAN-T on ADE20K with ImageNet-1K weights. The authors count by torchprofile. Its
# total batch is 16; the head learns ten times as fast as the backbone.
_base_ = [
    '../_base_/models/segnext.py',
    '../_base_/datasets/ade20k_multiple_of_32.py',
    '../_base_/schedules/seg_adamw_160k.py',
    '../_base_/runtime/seg.py',
]

published = [
    dict(
        paper='SegNeXt',
        where="authors' README",
        parameters=4,
        flops=7,
        flops_shape=(512, 512),
        metrics=dict(mIoU=41.1, mIoU_ms=42.2),
    ),
    dict(
        paper='SegNeXt',
        where="mmseg's metafile, trained by mmseg",
        metrics=dict(mIoU=41.5, mIoU_ms=42.59),
    ),
]
model = dict(
    backbone=dict(
        arch='t',
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://mscan_t'),
    ),
    decode_head=dict(
        in_channels=[64, 160, 256],
        channels=256,
        ham_channels=256,
    ),
)

optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'head': dict(lr_mult=10.0)}))
