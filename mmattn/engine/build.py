"""A runner from a config."""

from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner as MMEngineRunner

from mmattn.engine.runner import Runner
from mmattn.engine.sharding import ShardedRunner  # noqa: F401 configs name it


def build_runner(cfg: Config) -> MMEngineRunner:
    """Build the runner that a config names by ``runner_type``, else that of this project."""
    if 'runner_type' in cfg:
        return RUNNERS.build(cfg)
    return Runner.from_cfg(cfg)
