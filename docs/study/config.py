# EfficientNet-Lite0 with ImageNet weights and a light head on CamVid: the host of docs/study.md,
# which says how to get data and weights. The weights were trained on pixels of (x - 127) / 128.
_base_ = [
    '../../configs/_base_/models/encoder_decoder.py',
    '../../configs/_base_/datasets/camvid.py',
    '../../configs/_base_/runtime/seg.py',
]

custom_imports = dict(imports=['mmattn', 'docs.study.starts', 'docs.study.channels_last'])

model = dict(
    data_preprocessor=dict(mean=[127.0] * 3, std=[128.0] * 3, size=(144, 192)),
    backbone=dict(
        type='TIMMBackbone',
        model_name='tf_efficientnet_lite0',
        features_only=True,
        pretrained=False,
        out_indices=(1, 2, 3, 4),
        init_cfg=dict(type='Pretrained', checkpoint='data/tf_efficientnet_lite0.pth'),
    ),
    # One 1x1 convolution on all four maps.
    decode_head=dict(
        type='FCNHead',
        in_channels=[24, 40, 112, 320],
        in_index=[0, 1, 2, 3],
        input_transform='resize_concat',
        channels=128,
        kernel_size=1,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.1,
        num_classes=11,
        norm_cfg=dict(type='BN'),
        loss_decode=dict(avg_non_ignore=True),
    ),
)

# All fits into one core, and a process of a data loader would only take turns with the training.
train_dataloader = dict(batch_size=4, num_workers=0)
val_dataloader = dict(num_workers=0)
test_dataloader = dict(num_workers=0)

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=5e-4, weight_decay=0.01),
    # The head is new, and learns in a quarter of the time like this.
    paramwise_cfg=dict(norm_decay_mult=0.0, custom_keys=dict(decode_head=dict(lr_mult=10.0))),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=40),
    dict(type='PolyLR', power=0.9, eta_min=0.0, by_epoch=False, begin=40, end=400),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=400, val_interval=200)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(checkpoint=dict(interval=200))
custom_hooks = [dict(type='ChannelsLast')]
auto_scale_lr = dict(enable=False, base_batch_size=4)
