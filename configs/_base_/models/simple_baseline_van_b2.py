# SimpleBaseline on VAN-B2: three deconvolutions of 256 channels and one heat map per keypoint.
model = dict(
    type='TopdownPoseEstimator',
    data_preprocessor=dict(
        type='PoseDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(
        type='VAN',
        arch='b2',
        drop_path_rate=0.1,
        out_indices=(3,),
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://van_b2_in1k'),
    ),
    head=dict(
        type='HeatmapHead',
        in_channels=512,
        out_channels=17,
        loss=dict(type='KeypointMSELoss', use_target_weight=True),
    ),
    test_cfg=dict(flip_test=True, flip_mode='heatmap', shift_heatmap=True),
)
