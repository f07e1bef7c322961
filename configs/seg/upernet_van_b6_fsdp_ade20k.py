# upernet_van_b6_ade20k.py with parameters, gradients and optimizer state sharded over the GPUs
# (FSDP2), for GPUs that are too small for all of them. Checkpoints are the same: either goes on
# from the other's.
_base_ = [
    '../_base_/models/upernet_van.py',
    '../_base_/datasets/ade20k_multiple_of_32.py',
    '../_base_/schedules/seg_adamw_160k.py',
    '../_base_/runtime/seg.py',
]

model = dict(
    backbone=dict(
        arch='b6',
        drop_path_rate=0.5,
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://van_b6_in22k'),
    ),
    decode_head=dict(in_channels=[96, 192, 384, 768]),
    auxiliary_head=dict(in_channels=384),
)

custom_imports = dict(imports=['mmattn', 'mmattn.engine.sharding'])
runner_type = 'ShardedRunner'
# A block of VAN is gathered when it computes.
sharding = dict(units=['Block'])
