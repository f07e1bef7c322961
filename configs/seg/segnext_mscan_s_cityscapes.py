# SegNeXt + MSCAN-S on Cityscapes with ImageNet-1K weights: crops of 1024x1024, overlapping windows
# in tests. The authors count by torchprofile. The paper has a total batch of 8 crops, the released
# config 4 for each GPU.
_base_ = [
    '../_base_/models/segnext.py',
    '../_base_/datasets/cityscapes_1024x1024.py',
    '../_base_/schedules/seg_adamw_160k.py',
    '../_base_/runtime/seg.py',
]

published = dict(
    paper='SegNeXt',
    where="authors' README",
    parameters=14,
    flops=125,
    flops_shape=(1024, 2048),
    metrics=dict(mIoU=81.3, mIoU_ms=82.7),
)
model = dict(
    data_preprocessor=dict(size=(1024, 1024)),
    backbone=dict(
        arch='s',
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://mscan_s'),
    ),
    decode_head=dict(
        channels=256,
        ham_channels=256,
        num_classes=19,
    ),
    test_cfg=dict(mode='slide', crop_size=(1024, 1024), stride=(768, 768)),
)

optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'head': dict(lr_mult=10.0)}))
auto_scale_lr = dict(base_batch_size=8)
