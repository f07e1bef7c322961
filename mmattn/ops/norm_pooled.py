"""Normalize pooled profiles, down to a single value."""

import torch
from torch import Tensor, nn

from mmattn.ops.norm import check_pixels, norm_any_batch
from mmattn.ops.precision import in_float32, without_autocast


def norm_pooled(norm: nn.Module, x: Tensor) -> Tensor:
    """Apply a norm layer to a profile, in float32 and with as little as one value.

    A batch norm that trains on one value per channel takes its running statistics, see
    :func:`mmattn.ops.norm.norm_any_batch`; a group norm of one value is its bias, where PyTorch
    raises an error.

    Args:
        norm: Norm layer.
        x: Profile of shape (N, C, ...), in float32 or wider. Of a group norm, whose statistics
            PyTorch takes in float32 anyhow, any map of any type.

    Returns:
        Its output in ``x.dtype``.
    """
    check_pixels(norm, x)
    if type(norm) is nn.GroupNorm:
        affine = [p if p is None else p.to(x.dtype) for p in (norm.weight, norm.bias)]
        with without_autocast(x):
            return torch.group_norm(x, norm.num_groups, *affine, norm.eps)
    if norm.training and all(size == 1 for size in (x.shape[0], *x.shape[2:])):
        dtype = next((p.dtype for p in norm.parameters()), x.dtype)
        return norm_any_batch(norm, x.to(dtype)).to(x.dtype)
    return in_float32(norm, x)
