"""Forms in which our modules and models can run, to be measured beside what they are as built."""

import copy
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmattn.benchmark.cases import Candidate, Case, Conditions, make_inputs
from mmattn.benchmark.networks import Pass
from mmattn.deploy import fold, onnx, openvino
from mmattn.deploy.program import quiet
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
        dtype: Type that it computes in, whatever the autocast is; None for that of the autocast.
    """

    change: Callable[[nn.Module, tuple[Tensor, ...]], nn.Module] = lambda module, inputs: module
    own: dict[str, Any] = field(default_factory=dict)
    trains: bool = True
    is_eager: bool = True
    dtype: str | None = None


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


class InRuntime(nn.Module):
    """A module that another runtime than PyTorch runs on the CPU.

    Args:
        run: The runtime, from arrays (N, C, H, W) to arrays.
    """

    def __init__(self, run: Callable[..., list[np.ndarray]]) -> None:
        super().__init__()
        self.run = run

    def forward(self, *maps: Tensor) -> list[Tensor]:
        """Run it on maps on the CPU."""
        return [torch.from_numpy(out) for out in self.run(*[x.numpy() for x in maps])]


def _in_onnxruntime(module: nn.Module, inputs: tuple[Tensor, ...]) -> nn.Module:
    with _exported(module, inputs, 'onnxruntime') as path:
        session = onnx.start(path)
    names = [each.name for each in session.get_inputs()]
    return InRuntime(lambda *maps: session.run(None, dict(zip(names, maps, strict=True))))


def _in_openvino(dtype: str) -> Callable[[nn.Module, tuple[Tensor, ...]], nn.Module]:
    def change(module: nn.Module, inputs: tuple[Tensor, ...]) -> nn.Module:
        openvino.check_dtype(dtype)
        with _exported(module, inputs) as path:
            model = import_optional('openvino', 'this form').Core().read_model(path)
            return InRuntime(openvino.start(model, dtype))

    return change


@contextmanager
def _exported(module: nn.Module, inputs: tuple[Tensor, ...], *needed: str) -> Iterator[str]:
    """Give an ONNX file of a module, for as long as the block lasts.

    Raises:
        MissingPackage: If the exporter of PyTorch or another package that is needed is not there.
    """
    for package in (*onnx.CONVERTERS, *needed):
        import_optional(package, 'this form')
    with tempfile.TemporaryDirectory() as folder:
        path = f'{folder}/module.onnx'
        with quiet():
            torch.onnx.export(
                module, inputs, path, dynamo=True, opset_version=onnx.OPSET, verbose=False
            )
        yield path


def _in_bfloat16(module: nn.Module, inputs: tuple[Tensor, ...]) -> nn.Module:
    return InBFloat16(module)


def _folded(module: nn.Module, inputs: tuple[Tensor, ...]) -> nn.Module:
    if isinstance(module, Pass):
        module.model = fold(module.model)
        return module
    return fold(module)


def _folded_in_bfloat16(module: nn.Module, inputs: tuple[Tensor, ...]) -> nn.Module:
    return InBFloat16(_folded(module, inputs))


def _lean(module: nn.Module, inputs: tuple[Tensor, ...]) -> nn.Module:
    blocks: list[Any] = [block for block in module.modules() if hasattr(block, 'lean')]
    if not blocks:
        raise InputError('it has no lean training')
    for block in blocks:
        block.lean = True
    return module


_NCHW: dict[str, Any] = dict(layout='nchw', dtype='float32')
_NHWC: dict[str, Any] = dict(layout='nhwc', dtype='float32')
_COMPILED: dict[str, Any] = dict(_NHWC, compiled=True)

FORMS = {
    'nhwc': Form(own=dict(layout='nhwc')),
    'compiled': Form(own=dict(compiled=True)),
    'bfloat16': Form(_in_bfloat16, _NHWC, trains=False, dtype='bfloat16'),
    'folded': Form(_folded, _NHWC, trains=False),
    'folded compiled': Form(_folded, _COMPILED, trains=False),
    'folded bfloat16': Form(_folded_in_bfloat16, _NHWC, trains=False, dtype='bfloat16'),
    'folded bfloat16 compiled': Form(
        _folded_in_bfloat16, _COMPILED, trains=False, dtype='bfloat16'
    ),
    'onnxruntime': Form(_in_onnxruntime, _NCHW, trains=False, is_eager=False),
    'openvino': Form(_in_openvino('float32'), _NCHW, trains=False, is_eager=False),
    'openvino bfloat16': Form(
        _in_openvino('bfloat16'), _NCHW, trains=False, is_eager=False, dtype='bfloat16'
    ),
    'lean': Form(_lean),
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
            case.candidates.append(
                Candidate(f'ours {name}', changed, form.own, form.is_eager, form.dtype)
            )
