"""What every fusion module has in common."""

from abc import abstractmethod

from torch import Tensor, nn

from mmattn.layers.blend import Blended
from mmattn.layers.checks import check_map
from mmattn.ops.precision import saturate


class Fusion(Blended):
    """Base of the fusion modules: two maps of one shape in, one map of that shape out.

    A subclass computes its paper in :meth:`fuse`, and may tell its gates in :meth:`gates`.
    ``start='identity'`` starts as the plain addition ``x + y``, which is what a fusion replaces in
    its host.
    """

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Fuse ``x`` and ``y``, both of shape (N, C, H, W).

        Raises:
            ValueError: If the two are not of this one shape, have no row or no column, or do not
                consist of floating-point numbers.
        """
        check_map(self, x, self.in_channels, 'x')
        check_map(self, y, self.in_channels, 'y')
        if x.shape != y.shape:
            raise ValueError(
                f'{type(self).__name__} expected x and y of one shape, '
                f'got x {tuple(x.shape)} and y {tuple(y.shape)}'
            )
        out = self.fuse(x, y)
        return out if self.blend is None else self.blend_in(out, add(x, y))

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


class Sum(nn.Module):
    """Addition of two maps."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Add ``x`` and ``y`` of shape (N, C, H, W)."""
        return add(x, y)


def add(x: Tensor, y: Tensor) -> Tensor:
    """Add two maps; what overflows float16 becomes its largest value."""
    return saturate(x + y)
