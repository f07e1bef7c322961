"""What is measured side by side: candidates that do the same work, and how they are made ready."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mmattn.errors import InputError
from mmattn.layers.packages import explain_missing_ops

DTYPES = {
    'float32': None,
    'bfloat16': torch.bfloat16,
    'float16': torch.float16,
}
LAYOUTS = {'nchw': torch.contiguous_format, 'nhwc': torch.channels_last}


@dataclass(frozen=True)
class Conditions:
    """Under which conditions all candidates run that have none of their own.

    Args:
        device: ``'cpu'`` or ``'cuda'``.
        dtype: Key of :data:`DTYPES`, the type of the autocast; ``'float32'`` has none.
        layout: Key of :data:`LAYOUTS`, the memory format of maps and weights.
        compiled: Whether ``torch.compile`` has compiled them.
        shape: Shape (N, C, H, W) of each map, or of the images; None for that of the row.
        mode: ``'eval'`` for a prediction, ``'train'`` for a forward and backward pass.
    """

    device: str = 'cpu'
    dtype: str = 'float32'
    layout: str = 'nchw'
    compiled: bool = False
    shape: tuple[int, int, int, int] | None = None
    mode: Literal['eval', 'train'] = 'eval'

    def of(self, candidate: 'Candidate') -> 'Conditions':
        """Give those of a candidate."""
        return replace(self, **candidate.own)


@dataclass(frozen=True)
class Candidate:
    """One way to do the work.

    Args:
        name: What it is called in the tables.
        function: Module of the inputs of its case, or a function without any, such as a loader.
        own: Conditions that it has of its own, by their names in :class:`Conditions`.
        is_eager: Whether PyTorch runs it, so that its traffic can be counted.
        dtype: Type that it computes in, whatever the autocast is; None for that of the autocast.
    """

    name: str
    function: Callable[..., Any]
    own: dict[str, Any] = field(default_factory=dict)
    is_eager: bool = True
    dtype: str | None = None


@dataclass
class Case:
    """Candidates that do the same work, the one first that all others are compared with.

    Args:
        candidates: The candidates.
        shapes: Shape (N, C, H, W) of each of their inputs; none if they are functions without any.
        compares: Whether their results are the same numbers.
        steps: Whether an optimizer takes a step behind each backward pass. Only in training.
        remarks: What the reader should know, such as a peer that is not installed.
    """

    candidates: list[Candidate]
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    compares: bool = True
    steps: bool = False
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Row:
    """A row of the benchmark.

    Args:
        group: ``'modules'``, ``'backbones'``, ``'models'``, ``'training'`` or ``'data'``.
        name: Its name within the group.
        build: Makes its case under some conditions. Raises :class:`InputError` or what the import
            of a package raises, if that is not installed.
    """

    group: str
    name: str
    build: Callable[[Conditions], Case]


def with_peers(ours: nn.Module, peers: Mapping[str, Callable[[Any], nn.Module]]) -> Case:
    """Make the peers of a module, and put them ahead of it.

    Args:
        ours: The module.
        peers: Each gives a module of the same weights that computes the same, by its name.

    Raises:
        InputError: If there is none of them, since its package is not installed.
    """
    candidates, remarks = [], []
    for name, peer in peers.items():
        try:
            candidates.append(Candidate(name, peer(ours)))
        except ImportError as error:
            remarks.append(f'no {name} ({explain_missing(error)})')
    if not candidates:
        raise InputError('; '.join(remarks))
    return Case([*candidates, Candidate('ours', ours)], remarks=remarks)


def explain_missing(error: Exception) -> str:
    """Say in one line what is not installed."""
    return explain_missing_ops(error) or str(error).splitlines()[0]


def copy_weights(ours: nn.Module, peer: nn.Module, names: dict[str, str] | None = None) -> None:
    """Give a peer the weights of ours.

    Args:
        ours: Our module.
        peer: Module with as many weights of the same sizes, up to axes of length 1: under the same
            names, or else in the same order.
        names: Our names by those of the peer, or the beginnings of both, where neither holds.

    Raises:
        ValueError: If a weight has no counterpart of its size.
    """
    source = _without_counters(ours.state_dict())
    target = _without_counters(peer.state_dict())
    if names is not None:
        found = {key: _renamed(key, names) for key in target}
    elif source.keys() == target.keys():
        found = {key: key for key in target}
    else:
        found = dict(zip(target, source, strict=True))
    for key, other in found.items():
        if target[key].numel() != source[other].numel():
            raise ValueError(f'expected {key} of the size of {other}, got {target[key].shape}')
        # A tensor of the state shares its memory with the module.
        target[key].copy_(source[other].reshape(target[key].shape))


def _without_counters(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if 'num_batches_tracked' not in key}


def _renamed(key: str, names: dict[str, str]) -> str:
    for theirs, own in names.items():
        if key.startswith(theirs):
            return own + key.removeprefix(theirs)
    return key


def shake(module: nn.Module) -> None:
    """Move all weights a little, so that no layer that starts at zero hides a difference."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))


def autocast(conditions: Conditions) -> AbstractContextManager:
    """Give the autocast of some conditions."""
    dtype = DTYPES[conditions.dtype]
    return torch.autocast(conditions.device, dtype) if dtype else nullcontext()


def make_inputs(shapes: list[tuple[int, ...]], conditions: Conditions) -> tuple[Tensor, ...]:
    """Make the maps that a candidate is given, of the type that they have behind a convolution.

    Args:
        shapes: Shape (N, C, H, W) of each; images, which have 3 channels, stay in float32.
        conditions: Of the candidate.
    """
    generator = torch.Generator().manual_seed(1)
    layout = LAYOUTS[conditions.layout]
    maps = []
    for shape in shapes:
        x = torch.randn(shape, generator=generator).to(conditions.device)
        dtype = DTYPES[conditions.dtype] if shape[1] != 3 else None
        maps.append(x.to(dtype or torch.float32).contiguous(memory_format=layout))
    return tuple(maps)


def make_ready(module: nn.Module, conditions: Conditions) -> None:
    """Bring a module to a device, into a mode and a memory format."""
    module.train(conditions.mode == 'train')
    module.to(conditions.device)
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=LAYOUTS[conditions.layout])
