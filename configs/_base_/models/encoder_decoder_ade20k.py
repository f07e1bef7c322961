# What the segmentors for ADE20K share: 150 classes, 512x512 crops, an FCN head on the third map.
norm_cfg = dict(type='SyncBN', requires_grad=True)
head = dict(
    dropout_ratio=0.1,
    num_classes=150,
    norm_cfg=norm_cfg,
    align_corners=False,
)

model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(512, 512),
    ),
    backbone=dict(norm_cfg=norm_cfg),
    decode_head=dict(loss_decode=dict(type='CrossEntropyLoss', loss_weight=1.0), **head),
    auxiliary_head=dict(
        type='FCNHead',
        in_index=2,
        channels=256,
        num_convs=1,
        concat_input=False,
        loss_decode=dict(type='CrossEntropyLoss', loss_weight=0.4),
        **head,
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
