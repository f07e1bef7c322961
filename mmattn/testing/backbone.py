"""What backbones promise."""

import copy
import inspect
import pickle
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmattn.backbones.base import Backbone
from mmattn.layers.registered import registered
from mmattn.testing.promises import (
    expect,
    expect_close,
    expect_error,
    expect_gradients,
    gradients_of,
    keep,
    randomize,
)

# A multiple of every stride that there is.
SIDE = 64


def check_backbone(cls: type[Backbone], **options: Any) -> None:
    """Ask of a backbone what all of mmattn promise.

    Args:
        cls: The class.
        options: Options of a small network with at least two out indices.

    Raises:
        AssertionError: If it breaks a promise: which one, what was expected and what came, in one
            line.
    """
    expect(
        isinstance(cls, type) and issubclass(cls, Backbone),
        'a subclass of mmattn.backbones.base.Backbone',
        cls,
    )
    keep(cls.__name__, Asked(cls, options), PROMISES)


@dataclass(frozen=True)
class Asked:
    """A class with its options, of which promises are asked."""

    kind: type[Backbone]
    options: dict[str, Any]

    def build(self, **options: Any) -> Any:
        """Build one, with other options too."""
        return self.kind(**{**self.options, **options})

    def images(self, n: int, h: int = SIDE, w: int = SIDE, **options: Any) -> Tensor:
        """Draw a batch of images."""
        return torch.rand(n, self.kind.in_channels, h, w, **options)


def is_registered(asked: Asked) -> None:
    """A config can name it."""
    names = [name for name, kind in registered(Backbone).items() if kind is asked.kind]
    expect(bool(names), '@MODELS.register_module() at the class', 'no entry of it in MODELS')
    before = copy.deepcopy(asked.options)
    built = MODELS.build(dict(type=names[0], **asked.options))
    expect(type(built) is asked.kind, f'one from type={names[0]!r}', f'a {type(built).__name__}')
    expect(asked.options == before, f'the options as they were, {before}', asked.options)


def has_the_options_of_all(asked: Asked) -> None:
    """It has the options that all backbones have, and no others than it says."""
    common = ('out_indices', 'frozen_stages', 'norm_eval', 'with_cp', 'init_cfg')
    missing = [name for name in common if name not in inspect.signature(asked.kind).parameters]
    expect(not missing, f'options {", ".join(common)}', f'none named {", ".join(missing)}')
    expect_error(
        TypeError,
        'out_indixes',
        'the mistyped option out_indixes',
        partial(asked.build, out_indixes=(0,)),
    )


def gives_maps_of_its_strides(asked: Asked) -> None:
    """It gives a map of out_channels for each out index, at any size of the image."""
    model = asked.build().eval()
    strides = [SIDE // x.shape[-1] for x in model(asked.images(1))]
    channels = tuple(model.out_channels)
    for h, w in ((64, 96), (61, 45), (33, 7), (1, 1)):
        # Each halving rounds up, so the whole does.
        expected = [
            (1, c, -(-h // stride), -(-w // stride))
            for c, stride in zip(channels, strides, strict=False)
        ]
        shapes = [tuple(x.shape) for x in model(asked.images(1, h, w))]
        expect(
            len(shapes) == len(channels) and shapes == expected,
            f'maps of {expected} for an image of {(h, w)}',
            shapes,
        )


def refuses_what_is_no_image(asked: Asked) -> None:
    """It refuses what is no image, with the shape."""
    model, c = asked.build(), asked.kind.in_channels
    for wrong, got in (
        (torch.rand(1, c, 0, 64), rf'\(1, {c}, 0, 64\)$'),
        (torch.rand(1, c, 64, 0), rf'\(1, {c}, 64, 0\)$'),
        (torch.rand(1, c + 1, 64, 64), rf'\(1, {c + 1}, 64, 64\)$'),
        (torch.ones(1, c, 64, 64, dtype=torch.uint8), rf'\(1, {c}, 64, 64\) of torch.uint8$'),
        ([torch.rand(c, 64, 64)], 'got list$'),
    ):
        words = rf'^{asked.kind.__name__} expected x of shape \(N, {c}, H, W\), .*{got}'
        expect_error(ValueError, words, 'such an image', partial(model, wrong))


def builds_what_is_used(asked: Asked) -> None:
    """It builds the stages up to the last out index, and returns the same maps from them."""
    full = asked.build().eval()
    first = asked.build(out_indices=full.out_indices[:1]).eval()
    counts = [sum(p.numel() for p in model.parameters()) for model in (first, full)]
    expect(counts[0] < counts[1], f'fewer than {counts[1]} parameters', counts[0])
    first.load_state_dict(full.state_dict(), strict=True)
    same = tuple(first.out_channels) == tuple(full.out_channels[:1])
    expect(same, f'out_channels {tuple(full.out_channels[:1])}', first.out_channels)
    x = asked.images(1)
    maps = first(x)
    expect(len(maps) == 1, 'one map for one out index', len(maps))
    expect(torch.equal(maps[0], full(x)[0]), 'the first map of all', 'another')


def refuses_wrong_stages(asked: Asked) -> None:
    """It refuses stages that there are not."""
    for indices in ((), (0, 99), (1, 0), (0, 0), (-1,)):
        expect_error(
            ValueError,
            'out_indices in rising order',
            f'out_indices={indices}',
            partial(asked.build, out_indices=indices),
        )
    for last in (-2, 99):
        expect_error(
            ValueError,
            f'frozen_stages from -1 to .*, got {last}',
            f'frozen_stages={last}',
            partial(asked.build, frozen_stages=last),
        )


def every_parameter_gets_a_gradient(asked: Asked) -> None:
    """Every parameter gets a gradient."""
    model = randomize(asked.build()).train()
    sum(x.square().mean() for x in model(asked.images(2))).backward()
    expect_gradients(model)


def freezes_its_stages(asked: Asked) -> None:
    """frozen_stages freezes the stages up to that one, and nothing else."""
    for last in range(-1, len(asked.build().stages())):
        model = asked.build(frozen_stages=last)
        expect(model.train() is model, 'train() to return the backbone', 'something else')
        frozen = {
            part
            for stage in model.stages()[: last + 1]
            for module in stage
            for part in module.modules()
        }
        still = {parameter for module in frozen for parameter in module.parameters()}
        for name, parameter in model.named_parameters():
            right = parameter.requires_grad == (parameter not in still)
            expect(right, f'{name} as frozen_stages={last} says', 'the contrary')
        for name, module in model.named_modules():
            right = module.training == (module not in frozen)
            expect(right, f'the mode of {name} as frozen_stages={last} says', 'the contrary')


def keeps_its_norms_in_evaluation(asked: Asked) -> None:
    """norm_eval keeps batch norms in evaluation, and nothing else."""
    model = asked.build(norm_eval=True).train()
    expect(model.training, 'a backbone in training', 'one in evaluation')
    norms = {name for name, m in model.named_modules() if isinstance(m, _BatchNorm)}
    kept = {name for name, m in model.named_modules() if not m.training}
    expect(norms == kept, 'all batch norms in evaluation', f'the contrary of {norms ^ kept}')


def saves_memory_only(asked: Asked) -> None:
    """with_cp keeps less for the backward pass, and changes no gradient and no statistic."""
    plain = randomize(asked.build()).double().train()
    saving = asked.build(with_cp=True).double().train()
    saving.load_state_dict(plain.state_dict())
    x = asked.images(2, dtype=torch.float64)
    # The same random numbers, should it drop some of its paths.
    kept = []
    for model in (plain, saving):
        torch.manual_seed(0)
        kept.append(_run_and_count(model, x))
    expect(kept[1] < kept[0], f'fewer than {kept[0]} numbers kept', kept[1])
    grads = gradients_of(saving)
    for name, grad in gradients_of(plain).items():
        expect_close(grads[name], grad, f'the same gradient of {name}')
    buffers = dict(saving.named_buffers())
    for name, buffer in plain.named_buffers():
        expect_close(buffers[name], buffer, f'the same {name}')


def _run_and_count(model: nn.Module, x: Tensor) -> int:
    """Count the numbers that a forward pass keeps, and run the backward pass."""
    count = 0

    def pack(tensor: Tensor) -> Tensor:
        nonlocal count
        count += tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        maps = model(x)
    sum(m.square().mean() for m in maps).backward()
    return count


def copies_and_pickles(asked: Asked) -> None:
    """It is the same when it is copied or pickled."""
    model = asked.build().eval()
    x = asked.images(1)
    pickled = pickle.loads(pickle.dumps(model))
    for how, other in (('copy', copy.deepcopy(model)), ('pickle', pickled)):
        same = all(torch.equal(a, b) for a, b in zip(other(x), model(x), strict=True))
        expect(same, f'the same of its {how}', 'other maps')


def keeps_the_memory_format(asked: Asked) -> None:
    """It keeps the memory format, and computes the same in both."""
    model = asked.build().eval()
    x = asked.images(2)
    plain = model(x)
    model.to(memory_format=torch.channels_last)
    last = model(x.to(memory_format=torch.channels_last))
    for form, maps in ((torch.contiguous_format, plain), (torch.channels_last, last)):
        for m in maps:
            expect(m.is_contiguous(memory_format=form), f'a map in {form}', f'strides {m.stride()}')
    for a, b in zip(last, plain, strict=True):
        off = (a - b).abs().max().item()
        slack = 1e-5 + 1e-4 * b.abs().max().item()
        expect(off <= slack, f'at most {slack:.3g} off', f'{off:.3g}')


PROMISES = (
    is_registered,
    has_the_options_of_all,
    gives_maps_of_its_strides,
    refuses_what_is_no_image,
    builds_what_is_used,
    refuses_wrong_stages,
    every_parameter_gets_a_gradient,
    freezes_its_stages,
    keeps_its_norms_in_evaluation,
    saves_memory_only,
    copies_and_pickles,
    keeps_the_memory_format,
)
