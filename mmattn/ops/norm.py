"""Normalize a single value per channel, which the norm layers of PyTorch refuse."""

from typing import TypeGuard

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from mmattn.compat import at_least_float32

# Most of what is asked about, and quickly known to be nothing of the kind.
_NO_NORMS = (nn.Conv2d, nn.Conv1d, nn.Linear, nn.ReLU, nn.Sequential)


def norm_any_batch(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply a layer; a norm layer also serves a single value per channel.

    One value is its own mean, and the result would be the bias whatever the value. A batch norm
    that trains on it takes its running statistics as in eval mode, and does not update them; of a
    group norm it is the bias.

    Args:
        layer: Norm layer; any other layer is simply applied.
        x: Its input of shape (N, C, ...).

    Returns:
        Its output.

    Raises:
        ValueError: If an instance norm is to normalize a map of one pixel.
    """
    out = of_one_value(layer, x)
    return layer(x) if out is None else out


def of_one_value(layer: nn.Module, x: Tensor) -> Tensor | None:
    """Do what :func:`norm_any_batch` does and the layer itself refuses; None where it does not.

    This is asked at each call: a model that trains on several devices gets other norm layers than
    those that it was built with, and later its own kind back.
    """
    if layer.__class__ in _NO_NORMS:
        return None
    if isinstance(layer, nn.modules.instancenorm._InstanceNorm) and x[:1, :1].numel() == 1:
        raise ValueError(
            f'expected norm_cfg of a layer that serves one pixel, such as BN or GN, got {layer}'
        )
    if layer.__class__ is nn.GroupNorm and x.numel() == layer.num_groups:
        weight, bias = _to(x.dtype, layer.weight, layer.bias)
        return torch.group_norm(x, layer.num_groups, weight, bias, layer.eps)
    if _trains_on_one_value(layer, x):
        dtype = at_least_float32(x.dtype)
        mean, var, weight, bias = _to(
            dtype, layer.running_mean, layer.running_var, layer.weight, layer.bias
        )
        return F.batch_norm(x, mean, var, weight, bias, eps=layer.eps)
    return None


def _trains_on_one_value(layer: nn.Module, x: Tensor) -> TypeGuard[nn.modules.batchnorm._BatchNorm]:
    return (
        layer.training
        and isinstance(layer, nn.modules.batchnorm._BatchNorm)
        and layer.running_mean is not None
        and x.numel() == x.shape[1]
        and not is_synchronized(layer)
    )


def is_synchronized(norm: nn.Module) -> bool:
    """Whether other processes have values for the statistics as well."""
    return (
        isinstance(norm, nn.SyncBatchNorm)
        and dist.is_available()
        and dist.is_initialized()
        and dist.get_world_size(norm.process_group) > 1
    )


def _to(dtype: torch.dtype, *tensors: Tensor | None) -> list[Tensor | None]:
    return [t if t is None else t.to(dtype) for t in tensors]
