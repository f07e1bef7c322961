"""What attention and fusion modules promise about their gates."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from mmattn.testing.blended import HALVES, Asked
from mmattn.testing.promises import expect, expect_close, randomize

# One row, one column, one pixel, one map.
SHAPES = ((2, 9, 7), (1, 1, 1), (1, 1, 7), (3, 9, 1))


def keeps_nothing_of_a_map(asked: Asked) -> None:
    """In evaluation it keeps no tensor of a forward, and nothing else that it did not have."""
    module = randomize(asked.build()).eval()
    before = _held_by(module)
    module(*asked.maps(2, 6, 5, requires_grad=True))
    _expect_held(module, before)


def tells_its_gates(asked: Asked) -> None:
    """Its gates are finite, broadcast to the map, and leave the module as it is."""
    for dtype in (torch.float32, torch.float64):
        module = randomize(asked.build()).to(dtype).eval()
        before = _held_by(module)
        for shape in SHAPES:
            maps = asked.maps(*shape, dtype=dtype)
            state, was = torch.get_rng_state(), [x.clone() for x in maps]
            with torch.no_grad():
                gates = module.gates(*maps)
            _expect_gates(gates, maps[0])
            with torch.inference_mode():
                again = module.gates(*maps)
            expect(list(again) == list(gates), f'the gates {list(gates)} again', list(again))
            for name, gate in gates.items():
                expect_close(again[name], gate, f'the same gate {name} in inference mode')
            same = torch.equal(torch.get_rng_state(), state)
            expect(same, 'gates that draw no random numbers', 'some drawn')
            same = all(torch.equal(x, old) for x, old in zip(maps, was, strict=True))
            expect(same, 'its maps as they were', 'others')
        _expect_held(module, before)


def tells_its_gates_in_half_precision(asked: Asked) -> None:
    """Its gates are finite and in float32 in half precision, too, up to inputs of 6e4."""
    module = randomize(asked.build()).eval()
    with torch.no_grad():
        for dtype in HALVES:
            half = copy.deepcopy(module).to(dtype)
            for maps in (asked.maps(1, 6, 5), *asked.extremes()):
                narrow = [x.to(dtype) for x in maps]
                _expect_gates(half.gates(*narrow), narrow[0])
                with torch.autocast('cpu', dtype):
                    _expect_gates(module.gates(*maps), maps[0])


def _expect_gates(gates: Any, x: Tensor) -> None:
    expect(isinstance(gates, dict), 'a dict of gates', type(gates).__name__)
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    for name, gate in gates.items():
        expect(isinstance(gate, Tensor), f'a tensor as gate {name!r}', type(gate).__name__)
        sides = zip(gate.shape, x.shape, strict=False)
        fits = gate.dim() == 4 and all(side in (1, whole) for side, whole in sides)
        expect(fits, f'a gate {name!r} that broadcasts to {tuple(x.shape)}', tuple(gate.shape))
        expect(gate.dtype == wide, f'a gate {name!r} in {wide} of a map in {x.dtype}', gate.dtype)
        expect(not gate.requires_grad, f'a gate {name!r} without a graph', 'one with')
        finite = bool(gate.isfinite().all())
        expect(finite, f'a finite gate {name!r} of a map in {x.dtype}', 'infinity or NaN')


def _held_by(module: nn.Module) -> dict[str, list]:
    """Give all that a module and those within hold, by name; of a container, its contents."""
    held = {}
    for place, each in module.named_modules():
        for name, value in vars(each).items():
            values = list(value.values()) if isinstance(value, dict) else value
            values = list(values) if isinstance(values, list | tuple | set) else [values]
            copies = [x.clone() if isinstance(x, Tensor) else x for x in values]
            held[f'{place}.{name}'.removeprefix('.')] = copies
    return held


def _expect_held(module: nn.Module, before: dict[str, list]) -> None:
    after = _held_by(module)
    more = ', '.join(after.keys() - before.keys())
    expect(not more, 'no attribute that was not there', more)
    for name, values in before.items():
        same = len(values) == len(after[name]) and all(map(_same, values, after[name]))
        expect(same, f'{name} as it was', 'another')


def _same(one: object, other: object) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    return one is other


PROMISES = (keeps_nothing_of_a_map, tells_its_gates, tells_its_gates_in_half_precision)
