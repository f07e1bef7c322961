# What the one-stage detectors on VAN share.
_base_ = './one_stage_fpn.py'

model = dict(
    backbone=dict(
        type='VAN',
        norm_cfg=dict(type='SyncBN', requires_grad=True),
        # The released code for dense prediction has PyTorch's eps here, the classifier 1e-6.
        stage_norm_cfg=dict(type='LN', eps=1e-5),
    ),
    neck=dict(in_channels=[64, 128, 320, 512]),
)
