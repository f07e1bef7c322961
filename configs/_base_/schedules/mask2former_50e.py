# AdamW for 368,750 iterations, 50 epochs of COCO, at a total batch size of 16 (8 GPUs x 2), as
# Mask2Former: the backbone learns at a tenth of the rate, embeddings and norms do not decay.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(
        custom_keys={
            'backbone': dict(lr_mult=0.1),
            'query_embed': dict(decay_mult=0.0),
            'query_feat': dict(decay_mult=0.0),
            'level_embed': dict(decay_mult=0.0),
        },
        norm_decay_mult=0.0,
    ),
    clip_grad=dict(max_norm=0.01, norm_type=2),
)
param_scheduler = dict(
    type='MultiStepLR',
    milestones=[327778, 355092],
    gamma=0.1,
    by_epoch=False,
    begin=0,
    end=368750,
)
train_cfg = dict(
    type='IterBasedTrainLoop',
    max_iters=368750,
    val_interval=5000,
    # Behind the last multiple of 5000 only once, at the end.
    dynamic_intervals=[(365001, 368750)],
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=16)
