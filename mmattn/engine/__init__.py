"""What the tools need around mmengine's runner."""

from mmattn.engine.config import load_config
from mmattn.engine.runner import Runner
from mmattn.engine.sharding import ShardedRunner
from mmattn.engine.tool import build_runner, prepare_work_dir, run_tool

__all__ = ['Runner', 'ShardedRunner', 'build_runner', 'load_config', 'prepare_work_dir', 'run_tool']
