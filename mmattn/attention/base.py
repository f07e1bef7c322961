"""What every attention module has in common."""

from abc import abstractmethod

from mmcv.cnn.bricks.plugin import infer_abbr
from torch import Tensor, nn

from mmattn.layers.blend import Blended
from mmattn.layers.checks import check_map


class Attention(Blended):
    """Base of the attention modules: (N, C, H, W) in, the same shape out.

    A subclass computes its paper in :meth:`attend`, and may tell its gates in :meth:`gates`.
    """

    _abbr_: str
    """Prefix of the name that :func:`mmcv.cnn.build_plugin_layer` gives the module in its host, and
    so of its keys in a checkpoint; by default the name of the class in snake case."""

    gates_are_averaged = False
    """Whether the map is multiplied by the mean of the gates, instead of by one after the other."""

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

    def folded(self) -> nn.Module:
        """Give what passes the map on, if that is what the module still does."""
        return nn.Identity() if self.is_idle else self

    @abstractmethod
    def attend(self, x: Tensor) -> Tensor:
        """Compute what the paper says, on (N, C, H, W)."""

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """Tell what the module makes of a map, for those who look at it or draw it.

        The gates are computed anew from ``x``, by the code that :meth:`attend` uses: the forward
        keeps nothing and costs nothing more. To be called in evaluation, under
        :class:`torch.no_grad`; in training, a batch norm would count ``x`` twice.

        Args:
            x: Map of shape (N, C, H, W), as the module takes it.

        Returns:
            What the map is multiplied by, before the blend of ``start='identity'``: each factor by
            its name, in the order in which they act, in float32 or float64, of a shape that
            broadcasts to that of ``x``. No module has all of them; one that has none returns an
            empty dict.

            ============ ============================ ==========================================
            name         shape                        meaning
            ============ ============================ ==========================================
            channel      (N, C, 1, 1)                 one factor per channel
            rows         (N, C, H, 1)                 one per channel and row
            columns      (N, C, 1, W)                 one per channel and column
            spatial      (N, 1, H, W), (N, C, H, W)   one per position, or per channel and position
            branch_1 ... (N, C, 1, 1)                 share of each of several versions of the map
            attention    (N, 1, H, W)                 no factor: share of the attention of all
                                                      positions that each of them receives
            ============ ============================ ==========================================
        """
        return {}
