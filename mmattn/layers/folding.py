"""Folding for inference: what is linear at rest goes into the weights of its neighbour.

A module of ours that has an equal and cheaper form for inference says so itself, by a method
``folded()`` that returns it, or the module where there is none. :func:`mmattn.deploy.fold` asks
each module of a model for it, the inner ones first, in evaluation, and finds by itself which norm
follows which convolution.
"""

from typing import Protocol, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

_Transposed = nn.modules.conv._ConvTransposeNd
Weighted = nn.modules.conv._ConvNd | nn.Linear
BatchNorm = nn.modules.batchnorm._BatchNorm


class Foldable(Protocol):
    """What knows its own form for inference."""

    def folded(self) -> nn.Module:
        """Give the equal module for inference, or the module itself.

        It is called on a copy in evaluation, whose weights the result may take and change.
        """


def has_hooks(module: nn.Module) -> bool:
    """Tell whether a module hands what it is given or makes to somebody else."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def why_not(layer: nn.Module) -> str | None:
    """Tell why a layer may compute something else than its weights say; None if it does not."""
    if isinstance(layer, BatchNorm) and not is_at_rest(layer):
        return 'is in training' if layer.training else 'has no running statistics'
    if parametrize.is_parametrized(layer):
        return 'is parametrized'
    if has_hooks(layer):
        return 'has hooks'
    if any(True for _ in layer.children()):
        return 'holds other modules'
    return None


def is_at_rest(norm: nn.Module) -> TypeGuard[BatchNorm]:
    """Tell whether a norm is a batch norm that computes with fixed statistics."""
    is_batch_norm = isinstance(norm, BatchNorm) and not norm.training
    return is_batch_norm and norm.running_mean is not None and norm.running_var is not None


def affine_of(norm: BatchNorm) -> tuple[Tensor, Tensor]:
    """Write a batch norm at rest as ``scale * x + shift``.

    Args:
        norm: What :func:`is_at_rest`.

    Returns:
        Scale and shift of shape (C,), in float64.
    """
    mean, var, weight, bias = (
        None if tensor is None else tensor.detach().double()
        for tensor in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    assert mean is not None and var is not None, 'the norm is not at rest'
    scale = (var + norm.eps).rsqrt()
    scale = scale if weight is None else scale * weight
    shift = -mean * scale
    return scale, shift if bias is None else shift + bias


def scale_output(layer: Weighted, scale: Tensor, shift: Tensor) -> None:
    """Let a layer compute ``scale * layer(x) + shift`` from now on.

    Args:
        layer: Convolution, transposed or not, or linear layer.
        scale: Factor of each channel of the output, of shape (C,).
        shift: What is added to each, of shape (C,).
    """
    weight = layer.weight.detach().double()
    if isinstance(layer, _Transposed):
        # (C_in, C_out / groups, ...): the groups follow each other on the first axis.
        groups = layer.groups
        factors = scale.double().view(groups, 1, -1)
        grouped = weight.reshape(groups, len(weight) // groups, weight.shape[1], -1)
        weight = (grouped * factors[..., None]).reshape(weight.shape)
    else:
        weight = weight * scale.double().view(-1, *[1] * (weight.dim() - 1))
    bias = shift.double()
    if layer.bias is not None:
        bias = bias + layer.bias.detach().double() * scale
    _set(layer, weight, bias)


def scale_input(layer: Weighted, scale: Tensor, shift: Tensor) -> None:
    """Let a layer compute ``layer(scale * x + shift)`` from now on.

    Args:
        layer: Linear layer, or convolution that :func:`takes_shift`.
        scale: Factor of each channel of the input, of shape (C,).
        shift: What is added to each, of shape (C,).
    """
    weight = layer.weight.detach().double()
    groups = getattr(layer, 'groups', 1)
    # By group, channel of the output, channel of the input, tap.
    grouped = weight.reshape(groups, len(weight) // groups, weight.shape[1], -1)
    added = (grouped * shift.double().view(groups, 1, -1, 1)).sum((2, 3)).flatten()
    scaled = grouped * scale.double().view(groups, 1, -1, 1)
    bias = added if layer.bias is None else layer.bias.detach().double() + added
    _set(layer, scaled.reshape(weight.shape), bias)


def takes_shift(layer: nn.Module) -> bool:
    """Tell whether a constant added to the input only adds one to the output of a layer.

    So it is unless zeros are put around the input: behind the sum they would stay zeros.
    """
    if isinstance(layer, nn.Linear):
        return type(layer).forward is nn.Linear.forward
    # Other classes may put zeros around their input by themselves.
    plain = type(layer).__module__ in ('torch.nn.modules.conv', 'mmcv.cnn.bricks.wrappers')
    if not isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d) or not plain:
        return False
    if layer.padding_mode != 'zeros' or layer.padding == 'valid':
        return True
    sides = layer.kernel_size if layer.padding == 'same' else layer.padding
    return {*sides} == ({1} if layer.padding == 'same' else {0})


def _set(layer: Weighted, weight: Tensor, bias: Tensor) -> None:
    old = layer.weight
    # In the memory format of the former weight, which says in which a convolution computes.
    new = torch.empty_like(old.detach()).copy_(weight)
    layer.register_parameter('weight', nn.Parameter(new, requires_grad=old.requires_grad))
    new = bias.to(old.dtype)
    layer.register_parameter('bias', nn.Parameter(new, requires_grad=old.requires_grad))
