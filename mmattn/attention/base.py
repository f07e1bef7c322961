"""What every attention module has in common."""

from abc import abstractmethod

from mmcv.cnn.bricks.plugin import infer_abbr
from torch import Tensor

from mmattn.layers.blend import Blended
from mmattn.layers.checks import check_map


class Attention(Blended):
    """Base of the attention modules: (N, C, H, W) in, the same shape out.

    A subclass computes its paper in :meth:`attend`.
    """

    _abbr_: str
    """Prefix of the name that :func:`mmcv.cnn.build_plugin_layer` gives the module in its host, and
    so of its keys in a checkpoint; by default the name of the class in snake case."""

    def __init_subclass__(cls, **kwargs) -> None:
        super().__init_subclass__(**kwargs)
        if not hasattr(cls, '_abbr_'):
            cls._abbr_ = infer_abbr(cls)

    def forward(self, x: Tensor) -> Tensor:
        """Attend to ``x`` of shape (N, C, H, W).

        Raises:
            ValueError: If ``x`` does not have this shape, has no row or no column, or does not
                consist of floating-point numbers.
        """
        check_map(self, x, self.in_channels)
        return self.blend_in(self.attend(x), x)

    @abstractmethod
    def attend(self, x: Tensor) -> Tensor:
        """Compute what the paper says, on (N, C, H, W)."""
