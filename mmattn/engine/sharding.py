"""A runner that shards parameters, gradients and optimizer state over the ranks (FSDP2)."""

from typing import Any

import torch
from mmengine.device import get_device
from mmengine.dist import broadcast, get_world_size, is_main_process
from mmengine.optim import OptimWrapper
from mmengine.registry import RUNNERS
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

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
        InputError: If the model has none of the units.
    """

    def wrap_model(self, model_wrapper_cfg: dict | None, model: Any) -> nn.Module:
        """Initialize the weights and shard them."""
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
        mesh = init_device_mesh(get_device(), (get_world_size(),))
        for module in (*units, model):
            fully_shard(module, mesh=mesh)
        _exchange_whole_tensors(model)
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
            optimizer = optim_wrapper.optimizer
            optimizer.register_state_dict_post_hook(_gather_optimizer)
            optimizer.register_load_state_dict_pre_hook(_shard_optimizer)
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


def _exchange_whole_tensors(model: nn.Module) -> None:
    """Make ``state_dict`` and ``load_state_dict`` of a sharded model those of the whole one."""
    model.register_state_dict_post_hook(_gather_model)
    for module in model.modules():
        if any(isinstance(p, DTensor) for p in module.parameters(recurse=False)):
            module.register_load_state_dict_pre_hook(_shard_module)


def _gather_model(model: nn.Module, state_dict: dict, prefix: str, metadata: dict) -> None:
    for key, value in state_dict.items():
        state_dict[key] = _gather(value)


def _shard_module(module: nn.Module, state_dict: dict, prefix: str, *_: Any) -> None:
    for name, parameter in module.named_parameters(recurse=False):
        value = state_dict.get(prefix + name)
        # Another shape is the business of load_state_dict.
        if value is not None and value.shape == parameter.shape:
            state_dict[prefix + name] = _shard(value, parameter)


def _gather_optimizer(optimizer: torch.optim.Optimizer, state_dict: dict) -> dict:
    state = {
        number: {name: _gather(value) for name, value in values.items()}
        for number, values in state_dict['state'].items()
    }
    return {**state_dict, 'state': state}


def _shard_optimizer(optimizer: torch.optim.Optimizer, state_dict: dict) -> dict:
    parameters = [p for group in optimizer.param_groups for p in group['params']]
    state = {
        number: {
            # A step count has no shape and no shards.
            name: _shard(value, parameters[number])
            if isinstance(value, torch.Tensor) and value.shape == parameters[number].shape
            else value
            for name, value in values.items()
        }
        for number, values in state_dict['state'].items()
    }
    return {**state_dict, 'state': state}


def _gather(value: Any) -> Any:
    return value.full_tensor() if isinstance(value, DTensor) else value


def _shard(value: torch.Tensor, parameter: Any) -> DTensor:
    # All ranks have read the same file: nobody has to send it.
    value = value.to(parameter.device)
    return distribute_tensor(value, parameter.device_mesh, parameter.placements, src_data_rank=None)
