# SegNeXt + MSCAN-B on Cityscapes with ImageNet-1K weights: crops of 1024x1024, overlapping windows
# in tests. The Hamburger has 64 bases, as released. The authors count by torchprofile. The paper
# has a total batch of 8 crops, the released config 2 for each GPU.
_base_ = [
    '../_base_/models/segnext.py',
    '../_base_/datasets/cityscapes_1024x1024.py',
    '../_base_/schedules/seg_adamw_160k.py',
    '../_base_/runtime/seg.py',
]

published = dict(
    paper='SegNeXt',
    where="authors' README",
    parameters=28,
    flops=276,
    flops_shape=(1024, 2048),
    metrics=dict(mIoU=82.6, mIoU_ms=83.8),
)
model = dict(
    data_preprocessor=dict(size=(1024, 1024)),
    backbone=dict(
        arch='b',
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://mscan_b'),
    ),
    decode_head=dict(
        channels=512,
        ham_channels=512,
        ham_kwargs=dict(MD_R=64),
        num_classes=19,
    ),
    test_cfg=dict(mode='slide', crop_size=(1024, 1024), stride=(768, 768)),
)

optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'head': dict(lr_mult=10.0)}))
auto_scale_lr = dict(base_batch_size=8)
