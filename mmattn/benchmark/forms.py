"""Forms in which our modules and models can run, to be measured beside what they are as built."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from mmattn.benchmark.cases import Candidate, Case
from mmattn.benchmark.networks import Pass
from mmattn.deploy import fold
from mmattn.errors import InputError


@dataclass(frozen=True)
class Form:
    """A form of ours.

    Args:
        change: Gives the module in this form, of a copy that it may change.
        own: Conditions that it has of its own, by their names in ``Conditions``.
        trains: Whether it can train.
    """

    change: Callable[[nn.Module], nn.Module] = lambda module: module
    own: dict[str, Any] = field(default_factory=dict)
    trains: bool = True


class InBFloat16(nn.Module):
    """A module with weights and maps in bfloat16, which needs no autocast.

    Args:
        module: The module, whose weights are cast.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module.bfloat16()

    def forward(self, *maps: Tensor) -> Any:
        """Run it on maps of any type."""
        return self.module(*[x.bfloat16() for x in maps])


def _folded(module: nn.Module) -> nn.Module:
    if isinstance(module, Pass):
        module.model = fold(module.model)
        return module
    return fold(module)


def _folded_in_bfloat16(module: nn.Module) -> nn.Module:
    return InBFloat16(_folded(module))


_NHWC: dict[str, Any] = dict(layout='nhwc', dtype='float32')
_COMPILED: dict[str, Any] = dict(_NHWC, compiled=True)

# The bars have names for more; whatever exports a model adds its forms here.
FORMS = {
    'nhwc': Form(own=dict(layout='nhwc')),
    'compiled': Form(own=dict(compiled=True)),
    'bfloat16': Form(InBFloat16, _NHWC, trains=False),
    'folded': Form(_folded, _NHWC, trains=False),
    'folded compiled': Form(_folded, _COMPILED, trains=False),
    'folded bfloat16': Form(_folded_in_bfloat16, _NHWC, trains=False),
    'folded bfloat16 compiled': Form(_folded_in_bfloat16, _COMPILED, trains=False),
}


def add_forms(case: Case, names: list[str], mode: str) -> None:
    """Put forms of ours behind the candidates of a case.

    Args:
        case: The case, whose last candidate is ours.
        names: Keys of :data:`FORMS`.
        mode: ``'eval'``, or ``'train'``, for which a form that cannot train is left out.
    """
    ours = case.candidates[-1].function
    if not isinstance(ours, nn.Module):
        return
    for name in names:
        form = FORMS[name]
        if mode == 'train' and not form.trains:
            case.remarks.append(f'no {name}: it does not train')
            continue
        changed = copy.deepcopy(ours)
        # Backbones of mmdet return None here.
        changed.train(mode == 'train')
        try:
            changed = form.change(changed)
        except InputError as error:
            case.remarks.append(f'no {name}: {error}')
        else:
            case.candidates.append(Candidate(f'ours {name}', changed, form.own))
