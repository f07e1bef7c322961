"""All that is counted of a model, as a whole and for its parts."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from torch import nn

from mmattn.errors import InputError
from mmattn.probe.count import count_costs
from mmattn.probe.memory import count_training_memory
from mmattn.probe.operations import Cost
from mmattn.probe.passes import needs_values


class Part(NamedTuple):
    """What a part of a model has and does.

    Args:
        parameters: Numbers that train, or could.
        multiply_adds: Of convolutions and matrix products, for one image.
        operations: Of everything else, for one image.
        activations: Numbers that convolutions and matrix products give, for one image.
        kept: Bytes that it keeps for the backward pass of a whole batch.
    """

    parameters: int = 0
    multiply_adds: int = 0
    operations: int = 0
    activations: int = 0
    kept: int = 0

    def plus(self, other: 'Part') -> 'Part':
        """Add another part."""
        return Part(*map(sum, zip(self, other, strict=True)))


@dataclass(frozen=True)
class Complexity:
    """What a model costs.

    Args:
        modules: Each module without its children, in the order of the model.
        attention: How many modules of attention there are, by their classes.
        idle: Those that no operation of a prediction belongs to, by their names.
        peak: Bytes of a forward and backward pass at the peak.
        uncounted: Why costs are missing, by what is missing: ``'prediction'`` or ``'training'``.
    """

    modules: dict[str, Part]
    attention: Counter[str]
    idle: list[str]
    peak: int
    uncounted: dict[str, str]

    @property
    def total(self) -> Part:
        """The whole model."""
        return _sum(list(self.modules.values()))

    def parts(self, depth: int) -> dict[str, Part]:
        """Give the parts down to a depth, which together are the model.

        Args:
            depth: Names that a part may consist of: with 1, ``backbone`` is one part; with 2, it is
                ``backbone.layer1``, ``backbone.layer2`` and, as ``backbone``, what is left.
        """
        groups: dict[str, list[Part]] = {}
        for name, part in self.modules.items():
            groups.setdefault('.'.join(name.split('.')[:depth]), []).append(part)
        sums = {name: _sum(group) for name, group in groups.items()}
        return {name: part for name, part in sums.items() if any(part)}


def _sum(parts: list[Part]) -> Part:
    total = Part()
    for part in parts:
        total = total.plus(part)
    return total


def count_complexity(model: nn.Module, shape: tuple[int, int, int], batch_size: int) -> Complexity:
    """Count what a model costs, without memory for it.

    Args:
        model: Whole model or backbone on the meta device.
        shape: Shape (C, H, W) of an image.
        batch_size: Images of the batch that trains. Most batch norms train on two or more.

    Raises:
        InputError: If the model does not run on images of this shape.
    """
    uncounted: dict[str, str] = {}
    costs: dict[str, Cost] = {}
    kept: dict[str, int] = {}
    peak = 0
    if needs_values(model):
        reason = 'the layers of a Mask2Former depend on the values of the maps'
        uncounted = {'prediction': reason, 'training': reason}
    else:
        costs = _counted(lambda: count_costs(model, (1, *shape)), shape)
        try:
            memory = count_training_memory(model, (batch_size, *shape))
        except Exception as error:
            # A model may compute in training what has no shape without values.
            uncounted['training'] = _reason(error)
        else:
            kept, peak = memory
    parameters: Counter[str] = Counter()
    for name, parameter in model.named_parameters():
        parameters[name.rpartition('.')[0]] += parameter.numel()
    modules = {
        name: Part(parameters[name], *costs.get(name, Cost()), kept.get(name, 0))
        for name, _ in model.named_modules()
    }
    attention = _attention_in(model)
    idle = [
        name
        for name in attention
        if costs and not any(f'{other}.'.startswith(f'{name}.') for other in costs)
    ]
    kinds = Counter(attention.values())
    return Complexity(modules, kinds, idle, peak, uncounted)


_T = TypeVar('_T')


def _counted(count: Callable[[], _T], shape: tuple[int, int, int]) -> _T:
    try:
        return count()
    except Exception as error:
        size = ' x '.join(map(str, shape))
        raise InputError(
            f'the model does not run on an image of {size} ({_reason(error)}); try another --shape'
        ) from error


def _reason(error: Exception) -> str:
    return f'{type(error).__name__}: {error}'.splitlines()[0]


# What networks without attention do.
_PLAIN = ('AddFusion', 'ConcatFusion')


def _attention_in(model: nn.Module) -> dict[str, str]:
    """Give the classes of attention and fusion modules by their names; parts of one are none."""
    found: dict[str, str] = {}
    for name, module in model.named_modules():
        kind = type(module).__name__
        is_attention = getattr(module, 'role', None) == 'attention' and kind not in _PLAIN
        if is_attention and not any(name.startswith(f'{other}.') for other in found):
            found[name] = kind
    return found
