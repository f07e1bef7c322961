# SegNeXt + MSCAN-B on ADE20K with ImageNet-1K weights. The authors count by torchprofile. The
# release has a Hamburger of 64 bases here, mmseg's, which the second figures are of, 16 as for the
# smaller ones. Its total batch is 16; the head learns ten times as fast as the backbone.
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
        parameters=28,
        flops=35,
        flops_shape=(512, 512),
        metrics=dict(mIoU=48.5, mIoU_ms=49.9),
    ),
    dict(
        paper='SegNeXt',
        where="mmseg's metafile, trained by mmseg",
        metrics=dict(mIoU=48.03, mIoU_ms=49.68),
    ),
]
model = dict(
    backbone=dict(
        arch='b',
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://mscan_b'),
    ),
    decode_head=dict(
        channels=512,
        ham_channels=512,
    ),
)

optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'head': dict(lr_mult=10.0)}))
