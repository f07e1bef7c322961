"""What every upsampling module has in common."""

from abc import abstractmethod
from typing import Annotated

import torch
from mmengine.model import BaseModule
from torch import Tensor

from mmattn.compat import is_compiling
from mmattn.layers.checks import Positive, check_map, checked, within

Enlargement = Annotated[int, within(1, 16)]
Size = tuple[int, int]


class Upsampling(BaseModule):
    """Base of the upsampling modules: one map in, one of the same channels and a larger size out.

    A subclass computes its paper in :meth:`enlarge`, and says in :meth:`reset_parameters` how it
    starts.

    Args:
        in_channels: Channels of the input and of the output.
        scale_factor: How many times as high and as wide the output is.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If an option, of a subclass too, is not what its annotation says, see
            :func:`mmattn.layers.checks.checked`.
    """

    def __init_subclass__(cls, **kwargs) -> None:
        super().__init_subclass__(**kwargs)
        if '__init__' in cls.__dict__:
            cls.__init__ = checked(cls.__init__)  # type: ignore[method-assign]

    @checked
    def __init__(
        self,
        in_channels: Positive,
        scale_factor: Enlargement,
        init_cfg: dict | list[dict] | None,
    ) -> None:
        super().__init__(init_cfg)
        self.in_channels = in_channels
        self.scale_factor = scale_factor

    def forward(self, x: Tensor, size: Size | None = None) -> Tensor:
        """Enlarge ``x`` of shape (N, C, H, W).

        Args:
            x: Feature map.
            size: Height and width of the output, for a host whose map was halved with an odd side;
                None for ``scale_factor`` times those of ``x``.

        Raises:
            ValueError: If ``x`` is not of this shape, has no row or no column, or does not consist
                of floating-point numbers; or if the module cannot reach ``size``.
        """
        check_map(self, x, self.in_channels)
        return self.enlarge(x) if size is None else self.reach(x, size)

    @abstractmethod
    def enlarge(self, x: Tensor) -> Tensor:
        """Compute what the paper says, by ``scale_factor``."""

    def reach(self, x: Tensor, size: Size) -> Tensor:
        """Enlarge to a size: by ``scale_factor``, less what is too much at the lower right.

        Raises:
            ValueError: If more would have to go than comes from one row or column, or if there is
                too little.
        """
        (h, w), s = x.shape[2:], self.scale_factor
        height, width = size
        if is_compiling():
            # By their numbers: a program with free sizes cannot ask which of two is larger.
            rows, columns = (torch.arange(side, device=x.device) for side in size)
            return self.enlarge(x).index_select(2, rows).index_select(3, columns)
        fits = (h - 1) * s < height <= h * s and (w - 1) * s < width <= w * s
        if not fits:
            raise ValueError(
                f'{type(self).__name__} expected a size from {(h - 1) * s + 1} x {(w - 1) * s + 1} '
                f'to {h * s} x {w * s}, {s} times that of x {tuple(x.shape)}, '
                f'got {height} x {width}'
            )
        return self.enlarge(x)[:, :, :height, :width]

    def reset_parameters(self) -> None:
        """Draw the weights that the paper starts with; what has none need not."""

    def init_weights(self) -> None:
        """Start as the paper does, whatever a host drew before; ``init_cfg`` has the last word."""
        if not self.is_init:
            self.reset_parameters()
        super().init_weights()
