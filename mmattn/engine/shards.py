"""Parameters in shards, and state dicts that know nothing of it; for PyTorch from 2.6 on."""

from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor


def shard(model: nn.Module, units: list[nn.Module], device: str, world_size: int) -> None:
    """Shard a model over all ranks.

    Its ``state_dict`` and ``load_state_dict`` stay those of whole tensors.

    Args:
        model: The model, the same on all ranks.
        units: Its parts whose parameters are gathered together.
        device: Kind of the device where it is.
        world_size: Number of ranks.
    """
    mesh = init_device_mesh(device, (world_size,))
    for module in (*units, model):
        fully_shard(module, mesh=mesh)
    model.register_state_dict_post_hook(_gather_model)
    for module in model.modules():
        if any(isinstance(p, DTensor) for p in module.parameters(recurse=False)):
            module.register_load_state_dict_pre_hook(_shard_module)


def exchange_whole_state(optimizer: torch.optim.Optimizer) -> None:
    """Let the state of the optimizer of a sharded model be saved and loaded in whole tensors."""
    optimizer.register_state_dict_post_hook(_gather_optimizer)
    optimizer.register_load_state_dict_pre_hook(_shard_optimizer)


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
