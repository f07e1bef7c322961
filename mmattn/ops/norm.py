"""Normalize one value per channel, which batch norm refuses to train on."""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn


def norm_any_batch(norm: nn.Module, x: Tensor) -> Tensor:
    """Apply a layer; a batch norm that trains on one value per channel takes its running values.

    One value is its own mean, and the result would be the bias whatever the value. The running
    statistics are used as in eval mode then, and are not updated.

    Args:
        norm: Normalization layer; any other layer is simply applied.
        x: Its input of shape (N, C, H, W).

    Returns:
        Its output.

    Raises:
        ValueError: If an instance norm is to normalize a map of one pixel.
    """
    check_pixels(norm, x)
    return _by_running_values(norm, x) if _trains_on_one_value(norm, x) else norm(x)


def check_pixels(norm: nn.Module, x: Tensor) -> None:
    """Check that a norm layer has anything to normalize.

    Raises:
        ValueError: If an instance norm is to normalize a map of one pixel.
    """
    if isinstance(norm, nn.modules.instancenorm._InstanceNorm) and x[:1, :1].numel() == 1:
        raise ValueError(
            f'expected norm_cfg of a layer that serves one pixel, such as BN or GN, got {norm}'
        )


def _trains_on_one_value(norm: nn.Module, x: Tensor) -> bool:
    return (
        isinstance(norm, nn.modules.batchnorm._BatchNorm)
        and norm.training
        and norm.running_mean is not None
        and x.shape[0] * x.shape[2] * x.shape[3] == 1
        and not _is_synchronized(norm)
    )


def _is_synchronized(norm: nn.Module) -> bool:
    """Whether other processes have values for the statistics as well."""
    return (
        isinstance(norm, nn.SyncBatchNorm)
        and dist.is_available()
        and dist.is_initialized()
        and dist.get_world_size(norm.process_group) > 1
    )


def _by_running_values(norm: nn.Module, x: Tensor) -> Tensor:
    dtype = torch.promote_types(x.dtype, torch.float32)
    mean, var, weight, bias = (
        None if t is None else t.to(dtype)
        for t in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    return F.batch_norm(x, mean, var, weight, bias, eps=norm.eps)
