# Segmentation; whether epochs or iterations are counted is left open.
_base_ = './loss_guard.py'

# The one place that makes the names of mmattn known to a config.
custom_imports = dict(imports=['mmattn'])
default_scope = 'mmseg'

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', max_keep_ckpts=2),
    sampler_seed=dict(type='DistSamplerSeedHook'),
)
visualizer = dict(
    type='SegLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer'
)
log_level = 'INFO'
load_from = None
resume = False

# Average over the augmentations of tta_pipeline in `tools/test.py --tta`.
tta_model = dict(type='SegTTAModel')
