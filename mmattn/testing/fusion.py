"""What fusion modules promise: those of two maps of one shape, and those of several levels."""

import inspect
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mmattn.fusion.base import Fusion, LevelFusion
from mmattn.ops.precision import saturate_
from mmattn.testing import blended
from mmattn.testing.blended import PROMISES as ALIKE
from mmattn.testing.blended import Asked
from mmattn.testing.gates import PROMISES as OF_GATES
from mmattn.testing.promises import expect, expect_error, gradients_of, keep, randomize


def check_fusion(
    cls: type[Fusion | LevelFusion], in_channels: int = 16, *, export_from: int = 2, **options: Any
) -> None:
    """Ask of a fusion module what all of mmattn promise.

    One of several levels is asked what does not depend on sizes that are alike, nor on a start; of
    two results it is asked for their sum, which is what a host makes of them.

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
        >>> from mmattn import AddFusion
        >>> check_fusion(AddFusion)
    """
    expect(
        isinstance(cls, type) and issubclass(cls, Fusion | LevelFusion),
        'a subclass of mmattn.fusion.base.Fusion or of LevelFusion beside it',
        cls,
    )
    if issubclass(cls, LevelFusion):
        keep(cls.__name__, AskedOfLevels(cls, in_channels, options), OF_LEVELS)
    else:
        keep(cls.__name__, Asked(cls, in_channels, options, export_from), PROMISES)


class Totalled(nn.Module):
    """A fusion of levels, whose results are added.

    Args:
        fusion: The fusion.
    """

    blend = None

    def __init__(self, fusion: LevelFusion) -> None:
        super().__init__()
        self.fusion = fusion

    def forward(self, *maps: Tensor) -> Tensor:
        """Fuse, and add what comes."""
        out = self.fusion(*maps)
        return saturate_(out[0] + out[1]) if self.fusion.enlarges else out


class AskedOfLevels(Asked):
    """A fusion of several levels with its options, of which promises are asked."""

    # Before, it does not compile pixel shuffles.
    compiles_from = (2, 5)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the maps that it takes."""
        return tuple(inspect.signature(self.kind.forward).parameters)[1:]

    def build(self, start: str = 'paper', **options: Any) -> Any:
        """Build one, with other options too; there is one way to start."""
        return Totalled(super().build(**options))

    def maps(self, n: int, h: int, w: int, **options: Any) -> list[Tensor]:
        """Draw maps of the levels, for a result of height and width."""
        with torch.device('meta'):
            shapes = self.build().fusion.map_shapes(h, w)
        return [torch.randn(n, *shape, **options) for shape in shapes]

    def extremes(self) -> Iterator[list[Tensor]]:
        """Give the largest maps of random signs and of one sign, and tiny ones."""
        signs = [x.sign() for x in self.maps(2, 9, 7)]
        for factor in (6e4, 1e-4):
            yield [factor * x for x in signs]
        yield [6e4 * x.abs() for x in signs]


def refuses_different_shapes(asked: Asked) -> None:
    """It refuses two maps of different shapes, with both."""
    module, c = asked.build(), asked.in_channels
    x = (2, c, 6, 5)
    for y in ((2, c, 5, 6), (1, c, 6, 5), (2, c, 1, 1)):
        maps = torch.randn(x), torch.randn(y)
        words = re.escape(f'x {x} and y {y}')
        expect_error(ValueError, words, 'such maps', partial(module, *maps))


def no_parameter_is_dead(asked: Asked) -> None:
    """Every parameter changes what it computes."""
    # In evaluation, where no batch norm cancels the bias ahead of it.
    module = randomize(asked.build()).eval()
    # Many means, so that no ReLU is off for all of them.
    maps = asked.maps(64, 2, 1, requires_grad=True)
    module(*maps).square().sum().backward()
    dead = [name for name, grad in gradients_of(module).items() if not grad.any()]
    expect(not dead, 'gradients other than zero', f'zero for {", ".join(dead)}')


def refuses_levels_that_do_not_fit(asked: Asked) -> None:
    """It refuses levels that are not of half the size of each other, with their shapes."""
    module = asked.build()
    maps = asked.maps(2, 12, 12)
    for i, x in enumerate(maps):
        for wrong in (x[:1], x[:, :, 2:], x.repeat(1, 1, 1, 3)):
            given = [*maps[:i], wrong, *maps[i + 1 :]]
            words = re.escape(str(tuple(wrong.shape)))
            expect_error(ValueError, words, 'such levels', partial(module, *given))


OF_LEVELS = (
    blended.is_registered,
    blended.leaves_configs_alone,
    blended.keeps_any_map,
    blended.refuses_what_is_no_map,
    blended.leaves_its_inputs_alone,
    blended.passes_an_empty_batch,
    blended.is_the_same_in_channels_last,
    blended.every_parameter_gets_a_gradient,
    blended.has_the_gradient_of_what_it_computes,
    blended.stays_finite_in_half_precision,
    blended.is_close_in_half_precision,
    blended.copies_and_pickles,
    blended.runs_without_data,
    blended.is_mapped_by_vmap,
    blended.compiles_whole,
    refuses_levels_that_do_not_fit,
    no_parameter_is_dead,
)
PROMISES = (*ALIKE, *OF_GATES, refuses_different_shapes, no_parameter_is_dead)
