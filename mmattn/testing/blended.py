"""What attention and fusion modules promise alike: one map in or two, one of the same shape out."""

import copy
import inspect
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.fusion.base import Fusion
from mmattn.layers.blend import Blended
from mmattn.layers.registered import registered
from mmattn.testing.promises import (
    ask_from,
    expect,
    expect_close,
    expect_error,
    expect_gradients,
    gradients_of,
    randomize,
)

# What not every PyTorch can do comes last.
HALVES = (torch.bfloat16, torch.float16)
STARTS = ('paper', 'identity')
MODES = (False, True)


@dataclass(frozen=True)
class Asked:
    """A class with its options, of which promises are asked.

    Args:
        kind: Subclass of Attention or of Fusion.
        in_channels: Channels of the maps.
        options: Further options.
        export_from: Smallest height and width that an exported program has to take.
    """

    kind: type[Blended]
    in_channels: int
    options: dict[str, Any] = field(default_factory=dict)
    export_from: int = 2

    compiles_from: ClassVar[tuple[int, int]] = (2, 1)
    """Version of PyTorch that compiles it for free sizes."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the maps that it takes."""
        return ('x', 'y') if issubclass(self.kind, Fusion) else ('x',)

    def build(self, **options: Any) -> Any:
        """Build one, with other options too."""
        return MODELS.build(
            dict(type=self.kind, in_channels=self.in_channels) | self.options | options
        )

    def maps(self, n: int, h: int, w: int, **options: Any) -> list[Tensor]:
        """Draw what it takes: maps of shape (N, C, H, W)."""
        return [torch.randn(n, self.in_channels, h, w, **options) for _ in self.names]

    def plain(self, maps: list[Tensor]) -> Tensor:
        """Give what a host computes without the module: the map, or the sum of the two."""
        total = sum(maps[1:], maps[0])
        # What overflows float16 is its largest value, which is where the next layer would break.
        info = torch.finfo(total.dtype)
        return total.clamp(info.min, info.max)

    def extremes(self) -> Iterator[list[Tensor]]:
        """Give the largest maps of random signs, of one sign, of signs by channel; tiny ones."""
        signs = [x.sign() for x in self.maps(2, 9, 7)]
        yield [6e4 * x for x in signs]
        yield [6e4 * x[:1, :, :1, :1] * x.abs() for x in signs]
        yield [6e4 * x.abs() for x in signs]
        yield [1e-4 * x for x in signs]
        if len(signs) == 2:
            yield [6e4 * signs[0], 6e4 * signs[0]]
            yield [6e4 * signs[0], -6e4 * signs[0]]


def is_registered(asked: Asked) -> None:
    """A config can name it."""
    names = [name for name, kind in registered(BaseModule).items() if kind is asked.kind]
    expect(bool(names), '@MODELS.register_module() at the class', 'no entry of it in MODELS')
    built = MODELS.build(dict(type=names[0], in_channels=asked.in_channels, **asked.options))
    expect(type(built) is asked.kind, f'one from type={names[0]!r}', f'a {type(built).__name__}')


def takes_options_by_name(asked: Asked) -> None:
    """It takes in_channels first and every other option by name."""
    first, *others = inspect.signature(asked.kind).parameters.values()
    expect(first.name == 'in_channels', 'in_channels as first argument', first.name)
    positional = [p.name for p in others if p.kind is not p.KEYWORD_ONLY]
    expect(not positional, 'a * behind in_channels', f'{", ".join(positional)} without')
    starts = [p.default for p in others if p.name == 'start']
    expect(starts == ['paper'], "an option start='paper'", starts or 'none')
    expect_error(
        TypeError, 'reductoin', 'the mistyped option reductoin', partial(asked.build, reductoin=4)
    )


def refuses_wrong_values(asked: Asked) -> None:
    """It refuses channels and starts that there are not."""
    words = 'in_channels has to be a whole number .*, got 0'
    expect_error(ValueError, words, 'in_channels=0', partial(asked.build, in_channels=0))
    words = "'paper' or 'identity', got 'zero'"
    expect_error(ValueError, words, "start='zero'", partial(asked.build, start='zero'))


def refuses_what_is_no_map(asked: Asked) -> None:
    """It refuses what is no map of its channels, with the shape."""
    module, c, name = asked.build(), asked.in_channels, asked.kind.__name__
    wrongs = [
        (torch.rand(2, c, 0, 4), rf'\(2, {c}, 0, 4\)$'),
        (torch.rand(2, c, 4, 0), rf'\(2, {c}, 4, 0\)$'),
        (torch.rand(2, c + 1, 4, 4), rf'\(2, {c + 1}, 4, 4\)$'),
        (torch.rand(c, 4, 4), rf'\({c}, 4, 4\)$'),
        (torch.ones(2, c, 4, 4, dtype=torch.int64), rf'\(2, {c}, 4, 4\) of torch.int64$'),
        (torch.ones(2, c, 4, 4, dtype=torch.bool), rf'\(2, {c}, 4, 4\) of torch.bool$'),
        ([[1.0]], 'got list$'),
        (None, 'got NoneType$'),
    ]
    for wrong, got in wrongs:
        for i, which in enumerate(asked.names):
            maps: list = asked.maps(2, 4, 4)
            maps[i] = wrong
            words = rf'^{name} expected {which} of shape \(N, {c}, H, W\).*{got}'
            expect_error(ValueError, words, f'such an {which}', partial(module, *maps))


def leaves_configs_alone(asked: Asked) -> None:
    """It leaves the dicts among its options as they are."""
    defaults = {p.name: p.default for p in inspect.signature(asked.kind).parameters.values()}
    layers = {'norm_cfg': dict(type='BN'), 'act_cfg': dict(type='ReLU')}
    given = {
        name: default if isinstance(default, dict) else layers[name]
        for name, default in defaults.items()
        if isinstance(default, dict) or name in layers
    } | asked.options
    before = copy.deepcopy(given)
    asked.build(**given)
    expect(given == before, f'{before} as they were', given)


def passes_an_empty_batch(asked: Asked) -> None:
    """It passes a batch of no map, with gradients of zero."""
    for training in MODES:
        module = asked.build().train(training)
        # A detector without proposals hands its mask head no map at all.
        maps = asked.maps(0, 7, 7, requires_grad=True)
        out = module(*maps)
        expect(out.shape == maps[0].shape, f'a map of {tuple(maps[0].shape)}', tuple(out.shape))
        out.sum().backward()
        expect_gradients(module)
        moved = [name for name, grad in gradients_of(module).items() if grad.any()]
        expect(not moved, 'gradients of zero', f'others of {", ".join(moved)}')
        wild = [name for name, b in module.named_buffers() if not b.isfinite().all()]
        expect(not wild, 'finite statistics', f'infinite or NaN ones, {", ".join(wild)}')


def keeps_the_map(
    asked: Asked,
    shape: tuple[int, int, int] = (2, 9, 7),
    dtype: torch.dtype = torch.float32,
    channels_last: bool = False,
    start: str = 'paper',
) -> None:
    """It keeps shape, type and memory format of a map, and trains everything on it."""
    module = asked.build(start=start).to(dtype).train()
    memory = torch.channels_last if channels_last else torch.contiguous_format
    maps = [x.to(memory_format=memory).requires_grad_() for x in asked.maps(*shape, dtype=dtype)]
    out = module(*maps)
    expect(out.shape == maps[0].shape, f'a map of {tuple(maps[0].shape)}', tuple(out.shape))
    expect(out.dtype == dtype, f'a map of {dtype}', out.dtype)
    expect(bool(out.isfinite().all()), f'a finite map of {shape}', 'infinity or NaN')
    # A map of one pixel has both formats.
    kept = out.is_contiguous(memory_format=memory) or shape[1] * shape[2] == 1
    expect(kept, f'a map in {memory}', f'strides {out.stride()}')
    out.square().sum().backward()
    expect_gradients(module, *maps)


def keeps_any_map(asked: Asked) -> None:
    """It keeps shape, type and memory format of maps of any size, and trains everything on them."""
    for i, shape in enumerate(((2, 9, 7), (1, 1, 1), (1, 1, 7), (3, 9, 1), (1, 13, 6))):
        for j, dtype in enumerate((torch.float32, torch.float64, torch.bfloat16)):
            keeps_the_map(asked, shape, dtype, bool((i + j) % 2), STARTS[i % 2])


def is_the_same_in_channels_last(asked: Asked) -> None:
    """It computes the same in channels_last."""
    module = asked.build().eval().to(memory_format=torch.channels_last)
    maps = asked.maps(2, 6, 5)
    out = module(*(x.to(memory_format=torch.channels_last) for x in maps))
    expect_close(out, module(*maps), 'the same in both memory formats')


def every_parameter_gets_a_gradient(asked: Asked) -> None:
    """Every parameter gets a gradient, wherever it has come to."""
    for start in STARTS:
        module = randomize(asked.build(start=start)).train()
        maps = asked.maps(2, 7, 6, requires_grad=True)
        module(*maps).square().sum().backward()
        expect_gradients(module, *maps)
        grads = gradients_of(module, *maps)
        unused = [key for key in grads if key.startswith('input ') and not grads[key].any()]
        expect(not unused, 'a gradient of every map', f'zero for {", ".join(unused)}')


def starts_as_if_it_were_not_there(asked: Asked) -> None:
    """It starts with start='identity' as if it were not there, and trains."""
    words = 'the sum of its maps' if len(asked.names) == 2 else 'its map'
    for training in MODES:
        module = asked.build(start='identity').train(training)
        maps = asked.maps(2, 7, 6)
        plain = asked.plain(maps)
        expect(torch.equal(module(*maps), plain), f'{words}, bit for bit', 'another map')
        # A host initializes all its convolutions before its children do theirs.
        for layer in nn.Sequential(module).modules():
            if isinstance(layer, nn.Conv2d | nn.Conv1d | nn.Linear):
                nn.init.normal_(layer.weight)
        if module.blend is not None:
            nn.init.ones_(module.blend)
        module.init_weights()
        same = torch.equal(module(*maps), plain)
        expect(same, f'{words}, bit for bit, after init_weights', 'another map')
        if module.blend is None:  # It is the plain map for good, and so it is under 'paper'.
            expect_close(asked.build()(*maps), plain, f'{words} under both starts')
            continue
        optimizer = torch.optim.SGD(module.parameters(), lr=0.01)
        target = torch.randn_like(plain)
        for _ in range(2):
            optimizer.zero_grad()
            (module(*maps) - target).square().mean().backward()
            optimizer.step()
        moved = module.blend.item() != 0 and not torch.equal(module(*maps), plain)
        expect(moved, 'another map after two steps of a training', f'{words} as before')


def blends_its_paper_in(asked: Asked) -> None:
    """With start='identity' it is its paper once the blend is at one."""
    paper = randomize(asked.build()).eval()
    module = asked.build(start='identity').eval()
    if module.blend is None:
        return
    module.load_state_dict({**paper.state_dict(), 'blend': torch.ones(1)}, strict=True)
    maps = asked.maps(2, 6, 5)
    expect_close(module(*maps), paper(*maps), 'the map of its paper')


def starts_as_plain_in_half_precision(asked: Asked) -> None:
    """With start='identity' it starts as if it were not there in half precision, too."""
    for dtype in (torch.float32, *HALVES):
        module = randomize(asked.build(start='identity')).to(dtype).eval()
        module.init_weights()
        for given in asked.extremes():
            maps = [x.to(dtype) for x in given]
            same = torch.equal(module(*maps), asked.plain(maps))
            expect(same, f'the plain map of {dtype}, bit for bit', 'another map')


def has_no_key_of_ours(asked: Asked) -> None:
    """With start='paper' it has the keys of its paper alone."""
    keys = asked.build().state_dict()
    expect('blend' not in keys, 'no key blend', ', '.join(keys))


def is_mapped_by_vmap(asked: Asked) -> None:
    """torch.func.vmap and torch.func.grad compute what a loop does."""

    def loss(parameters: dict, module: nn.Module, *maps: Tensor) -> Tensor:
        return torch.func.functional_call(module, parameters, maps).square().sum()

    grad: Callable[..., dict] = torch.func.grad(loss)
    for start in STARTS:
        for training in MODES:
            module = randomize(asked.build(start=start)).double().train(training)
            if training:
                # PyTorch's way: no statistics to update, which a mapped batch norm cannot share.
                torch.func.replace_all_batch_norm_modules_(module)
            draws = [asked.maps(2, 6, 5, dtype=torch.float64) for _ in range(3)]
            batches = list(zip(*draws, strict=True))
            stacked = [torch.stack(batch) for batch in batches]
            each = list(zip(*batches, strict=True))
            looped = torch.stack([module(*maps) for maps in each])
            expect_close(torch.func.vmap(module)(*stacked), looped, 'the maps of a loop')
            parameters = dict(module.named_parameters())
            axes = (None, None, *(0 for _ in stacked))
            found = torch.func.vmap(grad, in_dims=axes)(parameters, module, *stacked)
            for i, maps in enumerate(each):
                for key, value in grad(parameters, module, *maps).items():
                    expect_close(found[key][i], value, f'the gradients of {key} of a loop')


def has_the_gradient_of_what_it_computes(asked: Asked) -> None:
    """Its gradient is the slope of what it computes."""
    module = randomize(asked.build()).double().eval()
    maps = asked.maps(2, 2, 3, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(module, tuple(maps), fast_mode=True)


def copies_and_pickles(asked: Asked) -> None:
    """It is the same when it is copied, pickled, or loaded from its state."""
    module = randomize(asked.build()).eval()
    maps = asked.maps(1, 6, 5)
    loaded = asked.build().eval()
    loaded.load_state_dict(module.state_dict(), strict=True)
    pickled = pickle.loads(pickle.dumps(module))
    for how, other in (('copy', copy.deepcopy(module)), ('pickle', pickled), ('load', loaded)):
        same = torch.equal(other(*maps), module(*maps))
        expect(same, f'the same of its {how}', 'another map')


def leaves_its_inputs_alone(asked: Asked) -> None:
    """It leaves its maps as they are."""
    module = randomize(asked.build()).train()
    maps = asked.maps(2, 6, 5)
    before = [x.clone() for x in maps]
    module(*maps)
    same = all(torch.equal(x, was) for x, was in zip(maps, before, strict=True))
    expect(same, 'its maps as they were', 'others')


def runs_without_data(asked: Asked) -> None:
    """It runs on the device without data, where costs are counted."""
    with torch.device('meta'):
        module, maps = asked.build().eval(), asked.maps(2, 7, 6)
        out = module(*maps)
    expect(out.shape == maps[0].shape, f'a map of {tuple(maps[0].shape)}', tuple(out.shape))


def stays_finite_in_half_precision(asked: Asked, seed: int = 0) -> None:
    """Its maps are finite in half precision where they are in float32, up to inputs of 6e4."""
    with torch.no_grad():
        for start in STARTS:
            for training in MODES:
                module = randomize(asked.build(start=start), seed).train(training)
                _stays_finite(asked, module)


def _stays_finite(asked: Asked, module: nn.Module) -> None:
    for maps in asked.extremes():
        expect(bool(module(*maps).isfinite().all()), 'a finite map in float32', 'infinity or NaN')
        for dtype in HALVES:
            half = [x.to(dtype) for x in maps]
            cast = copy.deepcopy(module).to(dtype)
            for how, form, given, autocast in (
                (f'{dtype}', cast, half, False),
                (f'autocast to {dtype}', module, half, True),
                (f'autocast of float32 to {dtype}', module, maps, True),
            ):
                with torch.autocast('cpu', dtype, enabled=autocast):
                    out = form(*given)
                # Of several maps, any may be in the type that counts.
                same = out.dtype == given[0].dtype or (autocast and len(maps) > 1)
                expect(same, f'a map of {given[0].dtype}', out.dtype)
                expect(bool(out.isfinite().all()), f'a finite map in {how}', 'infinity or NaN')


def has_finite_gradients_in_float16(asked: Asked) -> None:
    """Its gradients are finite in float16 where those in float32 are below 1e4."""
    for start in STARTS:
        for size in (6e4, 1e4, 1.0, 1e-4):
            torch.manual_seed(0)
            module = asked.build(start=start).eval()
            if module.blend is not None:
                nn.init.constant_(module.blend, 0.5)
            shape = (2, asked.in_channels, 9, 7)
            maps = [(torch.rand(shape) * 2 - 1) * size for _ in asked.names]
            maps[0][0, 0] = size
            expected = _gradients(copy.deepcopy(module), maps, enabled=False)
            half = [x.half() for x in maps]
            for how in ('autocast', 'cast'):
                form = module.half() if how == 'cast' else module
                grads = _gradients(form, half, enabled=how == 'autocast')
                for key, grad in grads.items():
                    # What a half layer itself sums up of two maps has to be in its range.
                    summed = how == 'cast' and len(maps) == 2 and not key.startswith('input ')
                    if expected[key].abs().max() < 1e4 and not summed:
                        finite = bool(grad.isfinite().all())
                        meant = f'finite gradients of {key} for inputs of {size:g}'
                        expect(finite, meant, f'infinity or NaN by {how}')


def _gradients(module: nn.Module, maps: list[Tensor], **autocast: bool) -> dict[str, Tensor]:
    module.zero_grad()
    maps = [x.detach().requires_grad_() for x in maps]
    with torch.autocast('cpu', torch.float16, **autocast):
        out = module(*maps)
    out.backward(torch.ones_like(out))
    return gradients_of(module, *maps)


def is_close_in_half_precision(asked: Asked) -> None:
    """Its maps in half precision are those in float32 but for a few roundings."""
    for dtype in HALVES:
        module = asked.build().eval()
        maps = asked.maps(2, 9, 7)
        expected = module(*maps)
        out = module.to(dtype)(*(x.to(dtype) for x in maps)).float()
        # Of the map, each half a unit in the last place.
        slack = 16 * torch.finfo(dtype).eps * expected.abs().max().item()
        off = (out - expected).abs().max().item()
        expect(off <= slack, f'at most {slack:.3g} off in {dtype}', f'{off:.3g}')


def compiles_whole(asked: Asked) -> None:
    """torch.compile takes it whole, with free height and width."""
    ask_from(asked.compiles_from, 'torch.compile of free sizes')
    module = randomize(asked.build()).eval()
    compiled = torch.compile(module, fullgraph=True, dynamic=True, backend='aot_eager')
    for size in ((12, 9), (7, 20)):
        maps = asked.maps(2, *size)
        expect_close(compiled(*maps), module(*maps), f'the same when compiled, for {size}')
    torch.compiler.reset()


def exports_with_free_sizes(asked: Asked) -> None:
    """torch.export takes it, with free height and width."""
    ask_from((2, 5), 'torch.export of free sizes')
    module = randomize(asked.build()).eval()
    sides = {i: torch.export.Dim(n, min=asked.export_from) for i, n in ((2, 'h'), (3, 'w'))}
    program = torch.export.export(
        module,
        tuple(asked.maps(2, 12, 9)),
        dynamic_shapes=dict.fromkeys(asked.names, sides),
    )
    maps = asked.maps(2, max(7, asked.export_from), 20)
    expect_close(program.module()(*maps), module(*maps), 'the same when exported')


PROMISES = (
    is_registered,
    takes_options_by_name,
    refuses_wrong_values,
    leaves_configs_alone,
    keeps_any_map,
    refuses_what_is_no_map,
    passes_an_empty_batch,
    leaves_its_inputs_alone,
    is_the_same_in_channels_last,
    every_parameter_gets_a_gradient,
    has_the_gradient_of_what_it_computes,
    has_no_key_of_ours,
    starts_as_if_it_were_not_there,
    blends_its_paper_in,
    starts_as_plain_in_half_precision,
    stays_finite_in_half_precision,
    has_finite_gradients_in_float16,
    is_close_in_half_precision,
    copies_and_pickles,
    runs_without_data,
    is_mapped_by_vmap,
    compiles_whole,
    exports_with_free_sizes,
)
