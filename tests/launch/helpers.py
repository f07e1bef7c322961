"""What the tests of the launchers share."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# The tests may themselves run in a job of Slurm or under torchrun.
_LAUNCHERS = ('SLURM', 'SBATCH', 'SRUN', 'TORCHELASTIC', 'OMPI')
_NAMES = ('RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT')
_NAMES += ('GPUS', 'GPUS_PER_NODE', 'NTASKS', 'CPUS_PER_TASK', 'DRY_RUN', 'SEEDS')
ENV = {
    **{k: v for k, v in os.environ.items() if not k.startswith(_LAUNCHERS) and k not in _NAMES},
    # For tests.launch.toy.
    'PYTHONPATH': str(ROOT),
    'PYTHON': sys.executable,
    'OMP_NUM_THREADS': '1',
}

TOY = """
custom_imports = dict(imports=['tests.launch.toy'])
default_scope = 'mmengine'
model = dict(type='Line')
loader = dict(batch_size=1, num_workers=0, collate_fn=dict(type='default_collate'))
train_dataloader = dict(
    **loader,
    dataset=dict(type='Numbers', length=64),
    sampler=dict(type='InfiniteSampler', shuffle=True),
)
test_dataloader = dict(
    **loader,
    dataset=dict(type='Numbers', length=6),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_evaluator = dict(type='Sum')
optim_wrapper = dict(optimizer=dict(type='SGD', lr=1e-6))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=4)
test_cfg = dict()
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=1),
    checkpoint=dict(type='CheckpointHook', interval=100000, by_epoch=False),
)
log_processor = dict(by_epoch=False)
"""


def write_program(path, text):
    """Write a Python program that can be run by its name."""
    path.write_text(f'#!{sys.executable}\n{text}')
    path.chmod(0o755)
    return path
