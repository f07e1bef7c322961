"""What upsampling modules promise."""

import copy
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.layers.registered import registered
from mmattn.testing.blended import (
    HALVES,
    compiles_whole,
    copies_and_pickles,
    exports_with_free_sizes,
    has_the_gradient_of_what_it_computes,
    is_close_in_half_precision,
    is_the_same_in_channels_last,
    leaves_its_inputs_alone,
    refuses_what_is_no_map,
)
from mmattn.testing.promises import (
    expect,
    expect_close,
    expect_error,
    expect_gradients,
    gradients_of,
    keep,
    randomize,
)
from mmattn.upsampling.base import Upsampling


@dataclass(frozen=True)
class Asked:
    """A class with its options, of which promises are asked.

    Args:
        kind: Subclass of Upsampling.
        in_channels: Channels of the maps.
        options: Further options.
        export_from: Smallest height and width that an exported program has to take.
    """

    kind: type[Upsampling]
    in_channels: int
    options: dict[str, Any] = field(default_factory=dict)
    export_from: int = 2

    # Before, it does not compile pixel shuffles.
    compiles_from: ClassVar[tuple[int, int]] = (2, 5)

    names = ('x',)

    def build(self, **options: Any) -> Any:
        """Build one, with other options too."""
        return MODELS.build(
            dict(type=self.kind, in_channels=self.in_channels) | self.options | options
        )

    def maps(self, n: int, h: int, w: int, **options: Any) -> list[Tensor]:
        """Draw a map of shape (N, C, H, W), in a list."""
        return [torch.randn(n, self.in_channels, h, w, **options)]

    def extremes(self) -> Iterator[list[Tensor]]:
        """Give the largest maps of random signs and of one sign; tiny ones."""
        signs = torch.randn(2, self.in_channels, 9, 7).sign()
        yield [6e4 * signs]
        yield [6e4 * signs.abs()]
        yield [1e-4 * signs]


def check_upsampling(
    cls: type[Upsampling], in_channels: int = 16, *, export_from: int = 2, **options: Any
) -> None:
    """Ask of an upsampling module what all of mmattn promise.

    Args:
        cls: The class.
        in_channels: Channels of the maps that it is asked with.
        export_from: Smallest height and width that it takes when it is exported by
            :func:`torch.export.export`, where sizes are free.
        options: Further options that it is built with.

    Raises:
        AssertionError: If it breaks a promise: which one, what was expected and what came, in one
            line.

    Example:
        >>> from mmattn import Nearest
        >>> check_upsampling(Nearest)
    """
    expect(
        isinstance(cls, type) and issubclass(cls, Upsampling),
        'a subclass of mmattn.upsampling.base.Upsampling',
        cls,
    )
    asked = Asked(cls, in_channels, options, export_from)
    keep(cls.__name__, asked, PROMISES)  # type: ignore[arg-type]


def is_registered(asked: Asked) -> None:
    """A config can name it."""
    names = [name for name, kind in registered(Upsampling).items() if kind is asked.kind]
    expect(bool(names), '@MODELS.register_module() at the class', 'no entry of it in MODELS')


def takes_options_by_name(asked: Asked) -> None:
    """It takes in_channels first, and every other option by name, scale_factor among them."""
    first, *others = inspect.signature(asked.kind).parameters.values()
    expect(first.name == 'in_channels', 'in_channels as first argument', first.name)
    positional = [p.name for p in others if p.kind is not p.KEYWORD_ONLY]
    expect(not positional, 'a * behind in_channels', f'{", ".join(positional)} without')
    factors = [p.default for p in others if p.name == 'scale_factor']
    expect(factors == [2], 'an option scale_factor=2', factors or 'none')


def refuses_wrong_values(asked: Asked) -> None:
    """It refuses channels and factors that there are not."""
    for option in ('in_channels', 'scale_factor'):
        words = f'{option} has to be a whole number .*, got 0'
        expect_error(ValueError, words, f'{option}=0', partial(asked.build, **{option: 0}))


def enlarges_the_map(
    asked: Asked,
    shape: tuple[int, int, int] = (2, 9, 7),
    dtype: torch.dtype = torch.float32,
    channels_last: bool = False,
    scale_factor: int = 2,
) -> None:
    """It enlarges a map by its factor, keeps type and memory format, and trains all on it."""
    module = asked.build(scale_factor=scale_factor).to(dtype).train()
    memory = torch.channels_last if channels_last else torch.contiguous_format
    [x] = asked.maps(*shape, dtype=dtype)
    x = x.to(memory_format=memory).requires_grad_()
    out = module(x)
    n, h, w = shape
    size = (n, asked.in_channels, h * scale_factor, w * scale_factor)
    expect(out.shape == size, f'a map of {size}', tuple(out.shape))
    expect(out.dtype == dtype, f'a map of {dtype}', out.dtype)
    expect(bool(out.isfinite().all()), f'a finite map of {shape}', 'infinity or NaN')
    # A map of one pixel has both formats.
    kept = h * w == 1 or out.is_contiguous(memory_format=memory)
    expect(kept, f'a map in {memory}', f'strides {out.stride()}')
    out.square().sum().backward()
    expect_gradients(module, x)


def enlarges_any_map(asked: Asked) -> None:
    """It enlarges maps of any size by any factor, and trains everything on them."""
    for i, shape in enumerate(((2, 9, 7), (1, 1, 1), (1, 1, 7), (3, 9, 1))):
        for j, dtype in enumerate((torch.float32, torch.float64, torch.bfloat16)):
            enlarges_the_map(asked, shape, dtype, bool((i + j) % 2), (1, 2, 4)[j])


def reaches_a_size(asked: Asked) -> None:
    """It gives exactly the size that is asked for, of a map that was halved and rounded up."""
    module = randomize(asked.build()).eval()
    for size in ((10, 14), (9, 13), (9, 14), (10, 13)):
        [x] = asked.maps(2, 5, 7)
        out = module(x, size)
        expect(out.shape[2:] == size, f'a map of {size}', tuple(out.shape[2:]))
        expect(out.dtype == x.dtype, f'a map of {x.dtype}', out.dtype)
    expect_close(module(x, (10, 14)), module(x), 'the same for twice the size')


def refuses_a_size_out_of_reach(asked: Asked) -> None:
    """It takes any size, or tells which ones it takes."""
    module = asked.build()
    [x] = asked.maps(2, 5, 7)
    for size in ((11, 14), (10, 15), (8, 14), (10, 12)):
        try:
            out = module(x, size)
        except ValueError as error:
            words = f'expected a size from 9 x 13 to 10 x 14, .*, got {size[0]} x {size[1]}$'
            expect_error(ValueError, words, f'a size of {size}', partial(module, x, size))
            expect('\n' not in str(error), 'one line', str(error))
        else:
            expect(out.shape[2:] == size, f'a map of {size}, or none', tuple(out.shape[2:]))


def passes_an_empty_batch(asked: Asked) -> None:
    """It passes a batch of no map, with gradients of zero."""
    # A detector without proposals hands its mask head no map at all.
    module = asked.build()
    [x] = asked.maps(0, 7, 7, requires_grad=True)
    out = module(x)
    expect(out.shape == (0, asked.in_channels, 14, 14), 'no map of twice the size', out.shape)
    out.sum().backward()
    expect_gradients(module)
    moved = [name for name, grad in gradients_of(module).items() if grad.any()]
    expect(not moved, 'gradients of zero', f'others of {", ".join(moved)}')


def no_parameter_is_dead(asked: Asked) -> None:
    """Every parameter changes what it computes."""
    module = randomize(asked.build()).train()
    [x] = asked.maps(2, 7, 6, requires_grad=True)
    module(x).square().sum().backward()
    dead = [name for name, grad in gradients_of(module, x).items() if not grad.any()]
    expect(not dead, 'gradients other than zero', f'zero for {", ".join(dead)}')


def starts_as_its_paper_in_a_host(asked: Asked) -> None:
    """It starts as it is built, whatever its host draws; its own init_cfg has the last word."""

    class Host(BaseModule):
        def __init__(self, module: nn.Module, **options: Any) -> None:
            super().__init__(**options)
            self.module = module

    module = asked.build()
    draws = dict(type='Constant', layer='Conv2d', val=1.0)
    torch.manual_seed(1)
    host = Host(asked.build(), init_cfg=draws)
    host.init_weights()
    for name, tensor in module.state_dict().items():
        drawn = host.module.state_dict()[name]
        wide = tensor.numel() > 1 and drawn.std() > 2 * tensor.std() + 1e-12
        ones = bool((drawn == 1).all() and not (tensor == 1).all())
        expect(not wide and not ones, f'{name} as the module draws it', 'what its host drew')
    own = asked.build(init_cfg=dict(type='Constant', layer='Conv2d', val=0.25))
    Host(own, init_cfg=draws).init_weights()
    for name, tensor in own.named_parameters():
        if tensor.dim() == 4:
            expect(bool((tensor == 0.25).all()), f'{name} as its init_cfg says', 'another')


def stays_finite_in_half_precision(asked: Asked) -> None:
    """Its maps are finite in half precision where they are in float32, up to inputs of 6e4."""
    module = randomize(asked.build()).eval()
    with torch.no_grad():
        for [x] in asked.extremes():
            expect(bool(module(x).isfinite().all()), 'a finite map in float32', 'infinity or NaN')
            for dtype in HALVES:
                cast = copy.deepcopy(module).to(dtype)
                for how, form, given, autocast in (
                    (f'{dtype}', cast, x.to(dtype), False),
                    (f'autocast to {dtype}', module, x.to(dtype), True),
                    (f'autocast of float32 to {dtype}', module, x, True),
                ):
                    with torch.autocast('cpu', dtype, enabled=autocast):
                        out = form(given)
                    expect(out.dtype == given.dtype, f'a map of {given.dtype}', out.dtype)
                    finite = bool(out.isfinite().all())
                    expect(finite, f'a finite map in {how}', 'infinity or NaN')


def has_finite_gradients_in_float16(asked: Asked) -> None:
    """Its gradients are finite in float16 where those in float32 are below 1e4."""
    for size in (6e4, 1e4, 1.0, 1e-4):
        module = asked.build().eval()
        x = (torch.rand(2, asked.in_channels, 9, 7) * 2 - 1) * size
        expected = _gradients(copy.deepcopy(module), x, enabled=False)
        for how in ('autocast', 'cast'):
            form = copy.deepcopy(module).half() if how == 'cast' else module
            for key, grad in _gradients(form, x.half(), enabled=how == 'autocast').items():
                if expected[key].abs().max() < 1e4:
                    finite = bool(grad.isfinite().all())
                    meant = f'finite gradients of {key} for inputs of {size:g}'
                    expect(finite, meant, f'infinity or NaN by {how}')


def _gradients(module: nn.Module, x: Tensor, **autocast: bool) -> dict[str, Tensor]:
    module.zero_grad()
    x = x.detach().requires_grad_()
    with torch.autocast('cpu', torch.float16, **autocast):
        out = module(x)
    out.backward(torch.ones_like(out))
    return gradients_of(module, x)


def runs_without_data(asked: Asked) -> None:
    """It runs on the device without data, where costs are counted."""
    with torch.device('meta'):
        [x] = asked.maps(2, 7, 6)
        out = asked.build().eval()(x)
    expect(out.shape == (2, asked.in_channels, 14, 12), 'a map of twice the size', out.shape)


def is_mapped_by_vmap(asked: Asked) -> None:
    """torch.func.vmap and torch.func.grad compute what a loop does."""

    def loss(parameters: dict, module: nn.Module, x: Tensor) -> Tensor:
        return torch.func.functional_call(module, parameters, (x,)).square().sum()

    module = randomize(asked.build()).double()
    x = torch.stack([asked.maps(2, 4, 5, dtype=torch.float64)[0] for _ in range(3)])
    looped = torch.stack([module(each) for each in x])
    expect_close(torch.func.vmap(module)(x), looped, 'the maps of a loop')
    parameters = dict(module.named_parameters())
    grad: Any = torch.func.grad(loss)
    found = torch.func.vmap(grad, in_dims=(None, None, 0))(parameters, module, x)
    for i, each in enumerate(x):
        for key, value in grad(parameters, module, each).items():
            expect_close(found[key][i], value, f'the gradients of {key} of a loop')


PROMISES = (
    is_registered,
    takes_options_by_name,
    refuses_wrong_values,
    enlarges_any_map,
    reaches_a_size,
    refuses_a_size_out_of_reach,
    refuses_what_is_no_map,
    passes_an_empty_batch,
    leaves_its_inputs_alone,
    is_the_same_in_channels_last,
    no_parameter_is_dead,
    has_the_gradient_of_what_it_computes,
    starts_as_its_paper_in_a_host,
    stays_finite_in_half_precision,
    has_finite_gradients_in_float16,
    is_close_in_half_precision,
    copies_and_pickles,
    runs_without_data,
    is_mapped_by_vmap,
    compiles_whole,
    exports_with_free_sizes,
)
