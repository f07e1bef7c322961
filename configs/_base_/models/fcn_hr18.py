# FCN on HRNetV2-W18 with ImageNet weights: one 1x1 convolution on all four maps.
_base_ = './encoder_decoder.py'

model = dict(
    backbone=dict(
        type='HRNet',
        norm_cfg={{_base_.norm_cfg}},
        extra=dict(
            stage1=dict(
                num_modules=1,
                num_branches=1,
                block='BOTTLENECK',
                num_blocks=(4,),
                num_channels=(64,),
            ),
            stage2=dict(
                num_modules=1,
                num_branches=2,
                block='BASIC',
                num_blocks=(4, 4),
                num_channels=(18, 36),
            ),
            stage3=dict(
                num_modules=4,
                num_branches=3,
                block='BASIC',
                num_blocks=(4, 4, 4),
                num_channels=(18, 36, 72),
            ),
            stage4=dict(
                num_modules=3,
                num_branches=4,
                block='BASIC',
                num_blocks=(4, 4, 4, 4),
                num_channels=(18, 36, 72, 144),
            ),
        ),
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://hrnetv2_w18'),
    ),
    decode_head=dict(
        type='FCNHead',
        in_channels=[18, 36, 72, 144],
        in_index=[0, 1, 2, 3],
        input_transform='resize_concat',
        channels=270,
        kernel_size=1,
        num_convs=1,
        concat_input=False,
        dropout_ratio=-1,
    ),
)
