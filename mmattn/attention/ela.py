"""Efficient local attention."""

from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.base import Attention
from mmattn.layers.blend import Start
from mmattn.layers.checks import Odd, Positive
from mmattn.ops.coord_gate import coord_gate
from mmattn.ops.coord_pool import coord_pool
from mmattn.ops.precision import in_float32


@MODELS.register_module()
class ELA(Attention):
    """Efficient local attention: coordinate gates without a bottleneck.

    The map is averaged along each axis; one convolution along the profile and one group norm,
    shared by both, turn them into one gate per row and one per column.

    Paper: `ELA: Efficient Local Attention for Deep Convolutional Neural Networks
    <https://arxiv.org/abs/2403.01123>`_ (2024). Its four versions:

    ======= =============== ================== ==============
    version ``kernel_size`` ``groups``         ``num_groups``
    ======= =============== ================== ==============
    ELA-T   5               ``in_channels``    32
    ELA-B   7               ``in_channels``    16
    ELA-S   5               ``in_channels//8`` 16
    ELA-L   7               ``in_channels//8`` 16
    ======= =============== ================== ==============

    Note:
        There is no release of the authors. The names of the weights, ``conv`` and ``gn``, and the
        convolution without a bias are those of public ports. A group norm of one value, which a
        profile of length 1 can be, has its bias as result.

    Args:
        in_channels: Channels of the input and of the output, a multiple of ``groups`` and of
            ``num_groups``.
        kernel_size: Length of the convolution, an odd number.
        groups: Groups of the convolution; ``in_channels`` of them if None.
        num_groups: Groups of the group norm.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If a number is not positive, ``kernel_size`` is even, or ``in_channels`` is no
            multiple of ``groups`` or of ``num_groups``.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> ELA(16)(torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    _abbr_ = 'ela'

    def __init__(
        self,
        in_channels: int,
        *,
        kernel_size: Odd = 7,
        groups: Positive | None = None,
        num_groups: Positive = 16,
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        groups = in_channels if groups is None else groups
        for name, number in (('groups', groups), ('num_groups', num_groups)):
            if in_channels % number:
                divisors = [d for d in range(1, in_channels + 1) if in_channels % d == 0]
                raise ValueError(
                    f'expected {name} that divides in_channels {in_channels}, got {number}; '
                    f'{min(divisors, key=lambda d: abs(d - number))} works'
                )
        self.conv = nn.Conv1d(
            in_channels,
            in_channels,
            kernel_size,
            padding=kernel_size // 2,
            groups=groups,
            bias=False,
        )
        self.gn = nn.GroupNorm(num_groups, in_channels)

    def attend(self, x: Tensor) -> Tensor:
        """Gate the rows and the columns of ``x``."""
        return coord_gate(x, *self._logits(x))

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """Tell the gates ``'rows'`` (N, C, H, 1) and ``'columns'`` (N, C, 1, W)."""
        a_h, a_w = self._logits(x)
        return {'rows': a_h.sigmoid(), 'columns': a_w.sigmoid()}

    def _logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        rows, columns = coord_pool(x)  # (N, C, H, 1), (N, C, 1, W)
        a_h = in_float32([self.conv, self.gn], rows.squeeze(3)).unsqueeze(3)
        a_w = in_float32([self.conv, self.gn], columns.squeeze(2)).unsqueeze(2)
        return a_h, a_w
