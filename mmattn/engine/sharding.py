"""A runner that shards parameters, gradients and optimizer state over the ranks (FSDP2)."""

from typing import Any

import torch
from mmengine.device import get_device
from mmengine.dist import broadcast, get_world_size, is_main_process
from mmengine.optim import OptimWrapper
from mmengine.registry import RUNNERS
from torch import nn

from mmattn.compat import has_fully_shard
from mmattn.engine.runner import Runner
from mmattn.errors import InputError
from mmattn.launch import distributed
from mmattn.weights.watch import report_loads


@RUNNERS.register_module()
class ShardedRunner(Runner):
    """:class:`mmattn.engine.runner.Runner` with ``fully_shard`` of PyTorch in place of DDP.

    ``sharding = dict(units=['Block'])`` in the config names the classes whose parameters are
    gathered together, when they compute; the rest of the model is one unit more. Checkpoints are
    those of :class:`mmattn.engine.runner.Runner`: whole tensors, so that a run may go on with
    either.

    Raises:
        InputError: If the model has none of the units, or PyTorch is older than 2.6.
    """

    def wrap_model(self, model_wrapper_cfg: dict | None, model: Any) -> nn.Module:
        """Initialize the weights and shard them."""
        if not has_fully_shard():
            raise InputError(
                f'runner_type ShardedRunner needs PyTorch 2.6 or newer, got {torch.__version__}; '
                'leave it out, so that every rank has the whole model, or install a newer one'
            )
        if not self.distributed:
            self.logger.info('There is one process: nothing is sharded')
            return super().wrap_model(model_wrapper_cfg, model)
        if model_wrapper_cfg is not None:
            raise InputError('model_wrapper_cfg and runner_type ShardedRunner exclude each other')
        model = distributed.revert_sync_bn(model.to(get_device()), self.cfg, self.logger)
        # Whole tensors are easier to initialize than shards.
        with report_loads(model):
            model.init_weights()
        for tensor in model.state_dict().values():
            broadcast(tensor)
        names = self.cfg.get('sharding', {}).get('units', [])
        units = [module for module in model.modules() if type(module).__name__ in names]
        if not units:
            raise InputError(f'sharding.units: {type(model).__name__} has no module of {names}')
        from mmattn.engine import shards

        shards.shard(model, units, get_device(), get_world_size())
        here = sum(p.to_local().numel() for p in model.parameters())
        total = sum(p.numel() for p in model.parameters())
        self.logger.info(
            f'Sharded in {len(units) + 1} units: rank {self.rank} has {here} of {total} parameters'
        )
        return model

    def _init_model_weights(self) -> None:
        if not self.distributed:
            super()._init_model_weights()

    def build_optim_wrapper(self, optim_wrapper: Any) -> Any:
        """Build the optimizer, whose state is saved and loaded in whole tensors."""
        built = isinstance(optim_wrapper, OptimWrapper)
        optim_wrapper = super().build_optim_wrapper(optim_wrapper)
        if self.distributed and not built:
            from mmattn.engine import shards

            shards.exchange_whole_state(optim_wrapper.optimizer)
        return optim_wrapper

    def save_checkpoint(
        self, out_dir: str, filename: str, *args, save_optimizer: bool = True, **kwargs
    ) -> None:
        """Save a checkpoint of whole tensors; all ranks have to call this."""
        if self.distributed and not is_main_process():
            # Each rank has a part of what rank 0 writes, and hands it over in the same order.
            self.model.state_dict()
            if save_optimizer:
                self.optim_wrapper.state_dict()
            return
        super().save_checkpoint(out_dir, filename, *args, save_optimizer=save_optimizer, **kwargs)
