"""A model folded for inference: equal, and with less to compute."""

import copy
import sys
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import torch
from mmcv.cnn.bricks import DropPath
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from mmattn.deploy.flow import Call, Flow, tensors_of
from mmattn.errors import InputError
from mmattn.layers.folding import (
    BatchNorm,
    Foldable,
    Weighted,
    affine_of,
    scale_input,
    scale_output,
    takes_shift,
    why_not,
)
from mmattn.ops.bare import is_bare
from mmattn.probe.dry_run import value_run
from mmattn.probe.inputs import InputShape

# Largest difference relative to the largest value of an output.
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-8}

# Norms that compute their statistics from what they are given.
_LIVE_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.instancenorm._InstanceNorm)

M = TypeVar('M', bound=nn.Module)


@dataclass
class Folding:
    """What was done to a model, by the names that its modules have in it."""

    norms: dict[str, str] = field(default_factory=dict)
    """Each norm that is gone, with the layer that computes it now."""
    exchanged: list[str] = field(default_factory=list)
    """Modules in whose place is the equal one that they know themselves."""
    dropped: list[str] = field(default_factory=list)
    """Modules that only gave back what they were given."""
    left: dict[str, str] = field(default_factory=dict)
    """Each norm that is still there, with the reason."""
    difference: float = 0.0
    """Largest difference of the two models on a random input, relative to the largest value."""


def fold(model: nn.Module, input_shape: InputShape | None = None) -> nn.Module:
    """Give the equal model for inference, which has less to compute.

    Batch norms go into the convolution or linear layer before them, or into the one behind where
    no zeros are put around what it is given. Modules that know a cheaper form of their own give it
    (:class:`mmattn.layers.folding.Foldable`): modules that started as the identity and whose blend
    factor still is zero are gone, and so is dropout. All else stays as it is.

    What a model does is seen in one run. Then both are run on a random input and have to agree to
    1e-5 of the largest value of each output; to 1e-8 in float64, in which they are also asked where
    they differ in float32.

    Args:
        model: Backbone, neck, head or whole model in float32 or float64; it stays as it is.
        input_shape: Shape (C, H, W) of its input, or one for each of the maps that it takes; by
            default they are guessed from the attributes of the model.

    Returns:
        A copy in evaluation, to be brought into another type or exported like the model. It is not
        for training.

    Raises:
        InputError: If the model is in another type, if it cannot be run, or if what became of it
            does not compute the same.

    Example:
        >>> from torch import nn
        >>> fold(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()))
        Sequential(
          (0): Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))
          (1): Identity()
          (2): ReLU()
        )
    """
    return fold_and_tell(model, input_shape)[0]


def fold_and_tell(
    model: nn.Module, input_shape: InputShape | None = None
) -> tuple[nn.Module, Folding]:
    """Do what :func:`fold` does, and tell what was done."""
    tolerance = _tolerance(model)
    folded, told = copy.deepcopy(model), Folding()
    folded.eval()  # Backbones of mmdet return None here.
    run, expected = value_run(folded, input_shape)
    folded = _at_rest(folded, '', told, {})
    while True:
        flow = Flow()
        try:
            output = run.repeat(folded, flow.watching)
        except Exception as error:
            raise InputError(
                f'expected {type(model).__name__} to run when folded, got '
                f'{type(error).__name__}: {(str(error).splitlines() or [""])[0]}; '
                f'deploy it as it is (folded: {_names(told)})'
            ) from error
        flow.returned(output)
        told.difference = _difference(expected, output)
        if not told.difference <= tolerance:
            if not _is_rounding(model, input_shape):
                raise InputError(
                    f'expected {type(model).__name__} to compute the same when folded, got a '
                    f'difference of {told.difference:.1e} relative to the largest value; deploy '
                    f'it as it is (folded: {_names(told)})'
                )
            tolerance = sys.float_info.max
        if not _fold_norms(folded, flow, told):
            return folded, told


def _is_rounding(model: nn.Module, input_shape: InputShape | None) -> bool:
    """Tell whether all that float32 makes a difference of is none in float64.

    In a deep network that was never trained, rounding can grow to any size.
    """
    if _type_of(model) == torch.float64:
        return False
    try:
        fold(copy.deepcopy(model).double(), input_shape)
    except InputError:
        return False
    return True


def _tolerance(model: nn.Module) -> float:
    dtype = _type_of(model)
    is_meta = any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))
    if is_meta or dtype not in TOLERANCE:
        raise InputError(
            f'expected {type(model).__name__} with weights in float32, got '
            f'{"weights without values" if is_meta else dtype}; fold it first and bring it into '
            'another type then'
        )
    return TOLERANCE[dtype]


def _type_of(model: nn.Module) -> torch.dtype:
    """Give the narrowest type of the weights, or of the buffers where there are none."""
    weights: list[Tensor] = [*model.parameters()]
    types = [tensor.dtype for tensor in weights or model.buffers() if tensor.is_floating_point()]
    return min(types, key=lambda dtype: torch.finfo(dtype).bits, default=torch.float32)


def _names(told: Folding) -> str:
    names = [*told.exchanged, *told.dropped, *told.norms]
    return ', '.join(names[:5]) + (f' and {len(names) - 5} more' if len(names) > 5 else '')


def _at_rest(
    module: nn.Module, name: str, told: Folding, known: dict[nn.Module, nn.Module]
) -> nn.Module:
    """Ask a module and all inside it, the innermost first, what they are in inference."""
    if module in known:
        return known[module]
    known[module] = module
    if isinstance(module, torch.jit.ScriptModule):
        return module
    for key, child in module._modules.items():
        if child is not None:
            module._modules[key] = _at_rest(child, f'{name}.{key}'.lstrip('.'), told, known)
    if isinstance(module, _DropoutNd | DropPath) and why_not(module) is None:
        own: nn.Module = nn.Identity()
    else:
        own = cast(Foldable, module).folded() if _knows_itself(module) else module
    if own is not module:
        (told.dropped if isinstance(own, nn.Identity) else told.exchanged).append(name)
        own.eval()
        known[module] = own
    return own


def _knows_itself(module: nn.Module) -> bool:
    """Tell whether a module has a ``folded`` that was written for the ``forward`` that it has."""
    classes = type(module).__mro__

    def depth(name: str) -> int:
        return next((i for i, kind in enumerate(classes) if name in vars(kind)), len(classes))

    return depth('folded') <= depth('forward') and is_bare(module)


def _fold_norms(model: nn.Module, flow: Flow, told: Folding) -> bool:
    """Fold the batch norms of a model that was watched, and tell whether there were any."""
    modules = dict(model.named_modules())
    left, folded = {}, False
    for name, norm in modules.items():
        if isinstance(norm, _LIVE_NORMS):
            left[name] = f'{type(norm).__name__} computes its statistics from what it is given'
        elif isinstance(norm, BatchNorm):
            with torch.no_grad():
                layer, reason = _fold_norm(modules, name, flow)
            if layer is None:
                left[name] = reason
                continue
            for parent in modules.values():
                for key, child in parent._modules.items():
                    if child is norm:
                        parent._modules[key] = nn.Identity().eval()
            told.norms[name], folded = layer, True
    told.left = left
    return folded


def _fold_norm(modules: dict[str, nn.Module], name: str, flow: Flow) -> tuple[str | None, str]:
    """Fold one batch norm into the layer before it or behind it.

    Returns:
        Name of the layer, or None and the reason.
    """
    norm = modules[name]
    assert isinstance(norm, BatchNorm)
    if name not in flow.calls:
        return None, 'it did not run'
    reason = _why_not(norm, name, flow)
    if reason is not None:
        return None, f'it {reason}'
    reasons = []
    before = flow.before(name)
    layer = modules.get(before or '')
    if before is not None and isinstance(layer, Weighted):
        others = sorted(flow.readers(before) - {name})
        if others:
            reason = f'is read by {", ".join(others)} as well'
        elif not flow.is_all_of(before, name):
            reason = 'is not all that it is given'
        else:
            reason = _why_not(layer, before, flow) or _fold_pair(
                layer, norm, flow.calls[before], norm_is_last=True
            )
        if reason is None:
            return before, ''
        reasons.append(f'{before}, before it, {reason}')
    for behind in flow.readers(name):
        layer = modules.get(behind)
        if isinstance(layer, Weighted) and flow.is_all_of(name, behind):
            reason = _why_not(layer, behind, flow) or _fold_pair(
                layer, norm, flow.calls[name], norm_is_last=False
            )
            if reason is None:
                return behind, ''
            reasons.append(f'{behind}, behind it, {reason}')
    return None, '; '.join(reasons) or 'no convolution or linear layer is next to it'


def _fold_pair(
    layer: Weighted, norm: BatchNorm, calls: list[Call], *, norm_is_last: bool
) -> str | None:
    """Fold a norm into the layer before it, or else into the one behind it, or tell why not.

    Args:
        layer: The layer, which is changed.
        norm: The norm.
        calls: How the first of the two was called.
        norm_is_last: Whether the norm is behind the layer.
    """
    if _has_other_channels(layer, calls):
        return 'has its channels on another axis'
    if not (norm_is_last or takes_shift(layer)):
        return 'puts zeros around what it is given'
    plain, exact = _in_float64(layer), _in_float64(norm)
    x = _random_like(calls[0].shape, layer)
    expected = exact(plain(x)) if norm_is_last else plain(exact(x))
    scale = scale_output if norm_is_last else scale_input
    scale(plain, *affine_of(norm))
    if not _difference(expected, plain(x)) <= TOLERANCE[torch.float64]:
        return 'does not scale with its weights'
    scale(layer, *affine_of(norm))
    return None


def _has_other_channels(layer: Weighted, calls: list[Call]) -> bool:
    """Tell whether a linear layer was called on more than vectors, whose second axis is theirs."""
    return isinstance(layer, nn.Linear) and any(len(call.shape) != 2 for call in calls)


def _in_float64(module: M) -> M:
    """Copy a layer into a type in which what it computes of its own is told from rounding."""
    return copy.deepcopy(module).double()


def _why_not(layer: nn.Module, name: str, flow: Flow) -> str | None:
    """Tell why a layer of the model cannot be changed; None if it can."""
    reads = 'has weights that something else reads' if name in flow.shared else None
    return why_not(layer) or reads


def _random_like(shape: torch.Size, layer: Weighted) -> Tensor:
    """Make an input of a layer that is as small as its kernel admits."""
    sides = list(shape[2:])
    if not isinstance(layer, nn.Linear):
        kernel: list[tuple[int, int, int]] = [
            *zip(layer.kernel_size, layer.dilation, layer.stride, strict=True)
        ]
        reaches = [(taps - 1) * dilation + 1 + stride for taps, dilation, stride in kernel]
        sides = [min(pair) for pair in zip(sides, reaches, strict=True)]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, shape[1], *sides, generator=generator, dtype=torch.float64)
    return x.to(layer.weight.device)


def _difference(expected: Any, output: Any) -> float:
    """Give the largest difference of two outputs relative to the largest value of each tensor."""
    pairs = [*tensors_of(expected)], [*tensors_of(output)]
    if [x.shape for x in pairs[0]] != [x.shape for x in pairs[1]]:
        return float('inf')
    largest = 0.0
    for wanted, got in zip(*pairs, strict=True):
        if not wanted.is_floating_point():
            continue
        finite = wanted.isfinite()
        if not torch.equal(finite, got.isfinite()):
            return float('inf')
        wanted, got = wanted[finite].double(), got[finite].double()
        if wanted.numel() and not torch.equal(wanted, got):
            scale = wanted.abs().max().clamp(min=torch.finfo(torch.float32).tiny)
            largest = max(largest, ((wanted - got).abs().max() / scale).item())
    return largest
