# UperNet on the four stages of VAN.
_base_ = './upernet.py'

model = dict(
    backbone=dict(
        type='VAN',
        norm_cfg={{_base_.norm_cfg}},
        drop_path_rate=0.1,
        # The released segmentation code has PyTorch's eps here, the classifier 1e-6.
        stage_norm_cfg=dict(type='LN', eps=1e-5),
    ),
    decode_head=dict(in_channels=[64, 128, 320, 512]),
    auxiliary_head=dict(in_channels=320),
)
