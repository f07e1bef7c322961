"""What the tools need around mmengine's runner."""

from mmattn.engine.checkpoint_hook import SafeCheckpointHook
from mmattn.engine.config import load_config
from mmattn.engine.conversion import check_output, rename, rename_for, write_weights
from mmattn.engine.loops import ResumableEpochLoop, ResumableIterLoop
from mmattn.engine.loss_guard import NonFiniteLossGuard
from mmattn.engine.preemption import PreemptionHook
from mmattn.engine.runner import Runner
from mmattn.engine.sharding import ShardedRunner
from mmattn.engine.tool import build_model, build_runner, prepare_work_dir, run_tool

__all__ = [
    'NonFiniteLossGuard',
    'PreemptionHook',
    'ResumableEpochLoop',
    'ResumableIterLoop',
    'Runner',
    'SafeCheckpointHook',
    'ShardedRunner',
    'build_model',
    'build_runner',
    'check_output',
    'load_config',
    'prepare_work_dir',
    'rename',
    'rename_for',
    'run_tool',
    'write_weights',
]
