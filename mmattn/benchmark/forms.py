"""Forms in which our modules and models can run, to be measured beside what they are as built."""

import copy
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from mmattn.benchmark.cases import Candidate, Case, Conditions, make_inputs
from mmattn.benchmark.networks import Pass
from mmattn.deploy import fold, onnx
from mmattn.errors import InputError
from mmattn.layers.packages import import_optional


@dataclass(frozen=True)
class Form:
    """A form of ours.

    Args:
        change: Gives the module in this form, of a copy that it may change, and of its inputs.
        own: Conditions that it has of its own, by their names in ``Conditions``.
        trains: Whether it can train.
        is_eager: Whether PyTorch runs it, on any device, so that its traffic can be counted.
    """

    change: Callable[[nn.Module, tuple[Tensor, ...]], nn.Module] = lambda module, inputs: module
    own: dict[str, Any] = field(default_factory=dict)
    trains: bool = True
    is_eager: bool = True


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


class InONNXRuntime(nn.Module):
    """A module exported to ONNX, which ONNX Runtime runs on the CPU.

    Args:
        module: The module, in evaluation.
        inputs: Its inputs (N, C, H, W); those that it runs on have the same sizes.

    Raises:
        MissingPackage: If ONNX Runtime or the exporter of PyTorch is not installed.
    """

    def __init__(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        super().__init__()
        for package in onnx.WRITERS:
            import_optional(package, 'this form')
        with tempfile.TemporaryDirectory() as folder:
            path = f'{folder}/module.onnx'
            torch.onnx.export(
                module, inputs, path, dynamo=True, opset_version=onnx.OPSET, verbose=False
            )
            self.session = onnx.start(path)

    def forward(self, *maps: Tensor) -> list[Tensor]:
        """Run it on maps on the CPU."""
        names = [each.name for each in self.session.get_inputs()]
        feeds = {name: x.numpy() for name, x in zip(names, maps, strict=True)}
        return [torch.from_numpy(out) for out in self.session.run(None, feeds)]


def _in_bfloat16(module: nn.Module, inputs: tuple[Tensor, ...]) -> nn.Module:
    return InBFloat16(module)


def _folded(module: nn.Module, inputs: tuple[Tensor, ...]) -> nn.Module:
    if isinstance(module, Pass):
        module.model = fold(module.model)
        return module
    return fold(module)


def _folded_in_bfloat16(module: nn.Module, inputs: tuple[Tensor, ...]) -> nn.Module:
    return InBFloat16(_folded(module, inputs))


_NHWC: dict[str, Any] = dict(layout='nhwc', dtype='float32')
_COMPILED: dict[str, Any] = dict(_NHWC, compiled=True)

# The bars have names for more; whatever exports a model adds its forms here.
FORMS = {
    'nhwc': Form(own=dict(layout='nhwc')),
    'compiled': Form(own=dict(compiled=True)),
    'bfloat16': Form(_in_bfloat16, _NHWC, trains=False),
    'folded': Form(_folded, _NHWC, trains=False),
    'folded compiled': Form(_folded, _COMPILED, trains=False),
    'folded bfloat16': Form(_folded_in_bfloat16, _NHWC, trains=False),
    'folded bfloat16 compiled': Form(_folded_in_bfloat16, _COMPILED, trains=False),
    'onnxruntime': Form(
        InONNXRuntime, dict(layout='nchw', dtype='float32'), trains=False, is_eager=False
    ),
}


def add_forms(case: Case, names: list[str], conditions: Conditions) -> None:
    """Put forms of ours behind the candidates of a case.

    Args:
        case: The case, whose last candidate is ours.
        names: Keys of :data:`FORMS`.
        conditions: Of all candidates that have none of their own. Forms that cannot run under them
            are left out, which a remark says.
    """
    ours = case.candidates[-1].function
    if not isinstance(ours, nn.Module):
        return
    for name in names:
        form = FORMS[name]
        trains = conditions.mode == 'train'
        if trains and not form.trains:
            case.remarks.append(f'no {name}: it does not train')
            continue
        if conditions.device == 'cuda' and not form.is_eager:
            case.remarks.append(f'no {name}: it runs on the CPU')
            continue
        changed = copy.deepcopy(ours)
        # Backbones of mmdet return None here.
        changed.train(trains)
        try:
            changed = form.change(changed, make_inputs(case.shapes, Conditions()))
        except InputError as error:
            case.remarks.append(f'no {name}: {error}')
        else:
            case.candidates.append(Candidate(f'ours {name}', changed, form.own, form.is_eager))
