"""A runner or a model from a config."""

from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, RUNNERS, init_default_scope
from mmengine.runner import Runner as MMEngineRunner
from torch import nn

from mmattn.engine.config_check import check_model
from mmattn.engine.runner import Runner
from mmattn.engine.sharding import ShardedRunner  # noqa: F401 configs name it


def build_runner(cfg: Config) -> MMEngineRunner:
    """Build the runner that a config names by ``runner_type``, else that of this project."""
    if 'runner_type' in cfg:
        return RUNNERS.build(cfg)
    return Runner.from_cfg(cfg)


def build_model(cfg: Config) -> nn.Module:
    """Build the model of a config, to look at it: on the CPU and with its initial weights.

    Raises:
        InputError: If the config has none, or one that cannot be built.
    """
    check_model(cfg)
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    return revert_sync_batchnorm(MODELS.build(cfg.model))
