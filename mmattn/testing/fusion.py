"""What fusion modules promise."""

import re
from functools import partial
from typing import Any

import torch

from mmattn.fusion.base import Fusion
from mmattn.testing.blended import PROMISES as ALIKE
from mmattn.testing.blended import Asked
from mmattn.testing.gates import PROMISES as OF_GATES
from mmattn.testing.promises import expect, expect_error, gradients_of, keep, randomize


def check_fusion(
    cls: type[Fusion], in_channels: int = 16, *, export_from: int = 2, **options: Any
) -> None:
    """Ask of a fusion module what all of mmattn promise.

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
        isinstance(cls, type) and issubclass(cls, Fusion),
        'a subclass of mmattn.fusion.base.Fusion',
        cls,
    )
    asked = Asked(cls, in_channels, options, export_from)
    keep(cls.__name__, asked, PROMISES)


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


PROMISES = (*ALIKE, *OF_GATES, refuses_different_shapes, no_parameter_is_dead)
