# upernet_van_b6_ade20k.py with parameters, gradients and optimizer state sharded over the GPUs
# (FSDP2) for GPUs that are too small for all of them. Checkpoints are the same: either goes on from
# the other's.
_base_ = './upernet_van_b6_ade20k.py'

runner_type = 'ShardedRunner'
# A block of VAN is gathered when it computes.
sharding = dict(units=['Block'])
