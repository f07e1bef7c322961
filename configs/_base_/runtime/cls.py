_base_ = './loss_guard.py'

# The one place that makes the names of mmattn known to a config of a classifier.
custom_imports = dict(imports=['mmattn'])
default_scope = 'mmpretrain'

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=100),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='CheckpointHook', by_epoch=True, interval=1, max_keep_ckpts=3, save_best='auto'
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
)
visualizer = dict(
    type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer'
)
log_processor = dict(by_epoch=True)
log_level = 'INFO'
load_from = None
resume = False
