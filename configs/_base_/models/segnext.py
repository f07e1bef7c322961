# SegNeXt for crops of 512x512 and 150 classes, as on ADE20K: a light Hamburger on the last three
# stages of MSCAN. The head draws random bases at every forward pass, in tests as well, so that its
# output is no constant. Configs for other data set their own size and classes.
norm_cfg = dict(type='SyncBN', requires_grad=True)

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
    backbone=dict(
        # mmseg has an MSCAN of its own.
        type='mmattn.MSCAN',
        norm_cfg=norm_cfg,
        drop_path_rate=0.1,
        out_indices=(1, 2, 3),
    ),
    decode_head=dict(
        type='LightHamHead',
        in_channels=[128, 320, 512],
        in_index=[0, 1, 2],
        dropout_ratio=0.1,
        num_classes=150,
        norm_cfg=dict(type='GN', num_groups=32, requires_grad=True),
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', loss_weight=1.0),
        ham_kwargs=dict(MD_S=1, MD_R=16, train_steps=6, eval_steps=7, inv_t=100, rand_init=True),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
