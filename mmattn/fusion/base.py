"""What fusion modules have in common: those of maps of one shape, and those of several levels."""

from abc import abstractmethod
from functools import reduce
from typing import ClassVar

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmattn.layers.blend import Blended
from mmattn.layers.checks import check_map, checked
from mmattn.ops.precision import saturate_


class Fusion(Blended):
    """Base of the fusion modules: two maps of one shape in, one map of that shape out.

    A subclass computes its paper in :meth:`fuse`, and may tell its gates in :meth:`gates`.
    ``start='identity'`` starts as the plain addition ``x + y``, which is what a fusion replaces in
    its host. One with an option ``num_inputs`` sets the attribute and fuses as many maps.
    """

    num_inputs = 2
    """How many maps it takes."""

    convolves: ClassVar[bool] = False
    """Whether the convolution that follows a fusion in a BiFPN is part of it."""

    def forward(self, x: Tensor, y: Tensor, *others: Tensor) -> Tensor:
        """Fuse ``x`` and ``y``, both of shape (N, C, H, W), and others if it takes more.

        Raises:
            ValueError: If the maps are more or fewer than it takes, not of this one shape, have no
                row or no column, or do not consist of floating-point numbers.
        """
        maps = (x, y, *others)
        if len(maps) != self.num_inputs:
            raise ValueError(
                f'{type(self).__name__} expected {self.num_inputs} maps, got {len(maps)}'
            )
        for i, each in enumerate(maps):
            check_map(self, each, self.in_channels, name_of(i))
        if any(each.shape != x.shape for each in maps):
            names = ' and '.join(name_of(i) for i in range(len(maps)))
            got = ' and '.join(f'{name_of(i)} {tuple(each.shape)}' for i, each in enumerate(maps))
            raise ValueError(f'{type(self).__name__} expected {names} of one shape, got {got}')
        out = self.fuse(*maps)
        return out if self.blend is None else self.blend_in(out, add(*maps))

    def map_shapes(self, h: int, w: int) -> list[tuple[int, int, int]]:
        """Tell channels, height and width of the maps that it takes for a result of this size."""
        return [(self.in_channels, h, w)] * self.num_inputs

    def folded(self) -> nn.Module:
        """Give what adds the two maps, if that is what the module still does."""
        return Sum() if self.is_idle else self

    @abstractmethod
    def fuse(self, x: Tensor, y: Tensor) -> Tensor:
        """Compute what the paper says, on two maps of shape (N, C, H, W)."""

    def gates(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Tell how the module weighs two maps, for those who look at it or draw it.

        The gates are computed anew from the maps, by the code that :meth:`fuse` uses: the forward
        keeps nothing and costs nothing more. To be called in evaluation, under
        :class:`torch.no_grad`; in training, a batch norm would count the maps twice.

        Args:
            x: Map of shape (N, C, H, W), as the module takes it.
            y: Map of the same shape.

        Returns:
            What the maps are multiplied by, before the blend of ``start='identity'``, in float32 or
            float64, of shapes that broadcast to that of the maps. ``'weight'`` is the share of
            ``x``, that of ``y`` is one minus it; ``'factor_of_x'`` or ``'factor_of_y'`` acts on
            one of the two alone. A module that has none returns an empty dict.
        """
        return {}


class LevelFusion(BaseModule):
    """Base of the fusions that take maps of several levels, and resize them themselves.

    Args:
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If an option of a subclass is not what its annotation says, see
            :func:`mmattn.layers.checks.checked`.
    """

    role = 'attention'
    """What it is to the network around it, for whoever counts."""

    num_inputs = 2
    """How many maps it takes."""

    enlarges: ClassVar[bool] = False
    """Whether it takes a map and the coarser one above, and gives two that its host adds."""

    def __init_subclass__(cls, **kwargs) -> None:
        super().__init_subclass__(**kwargs)
        cls.__init__ = checked(cls.__init__)  # type: ignore[method-assign]

    @abstractmethod
    def map_shapes(self, h: int, w: int) -> list[tuple[int, int, int]]:
        """Tell channels, height and width of the maps that it takes for a result of this size."""


class Sum(nn.Module):
    """Addition of maps."""

    def forward(self, x: Tensor, y: Tensor, *others: Tensor) -> Tensor:
        """Add ``x`` and ``y`` of shape (N, C, H, W), and others."""
        return add(x, y, *others)


def add(x: Tensor, y: Tensor, *others: Tensor) -> Tensor:
    """Add maps; what overflows float16 becomes its largest value."""
    return saturate_(reduce(torch.add, others, x + y))


def name_of(i: int) -> str:
    """Name the map of index ``i``: x, y, z, and what counts on from there."""
    return 'xyz'[i] if i < 3 else f'map {i + 1}'
