"""DySample: upsampling by learnt points."""

from typing import Literal

from mmengine.model import normal_init
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.layers.blend import Start
from mmattn.layers.checks import Positive
from mmattn.ops.pixel_shuffle import pixel_shuffle, pixel_unshuffle
from mmattn.ops.point_sampled import initial_offset, point_sampled
from mmattn.ops.precision import in_float32, narrowed, widened
from mmattn.upsampling.base import Enlargement, Upsampling


@MODELS.register_module()
class DySample(Upsampling):
    """Upsampling that reads the map at one learnt point for each pixel of the output.

    Paper: `Learning to Upsample by Learning to Sample <https://arxiv.org/abs/2308.15085>`_
    (ICCV 2023).

    A 1x1 convolution says how far the point of each pixel and each group of channels lies from
    where bilinear interpolation would read. The map is read there bilinearly, at its border
    where a point lies outside.

    Note:
        Offsets, points and samples are computed in float32 in half precision: at a width of 200
        bfloat16 would miss a point by more than a pixel.

        The styles differ in what comes first: ``'lp'`` predicts from the map and shuffles the
        pixels of the offsets; ``'pl'`` shuffles the pixels of the map first, and predicts from a
        fraction of the channels, with a sixteenth of the weights at a factor of 2.

    Args:
        in_channels: Channels of the input and of the output.
        scale_factor: How many times as high and as wide the output is, s.
        style: ``'lp'`` or ``'pl'``.
        groups: Number of channel groups with points of their own; divides ``in_channels``.
        dyscope: Whether a second convolution scales the offsets from 0 to 1/2 instead of the
            constant 1/4, the variant with a + in the paper.
        start: ``'paper'`` draws small offsets; ``'identity'`` starts with none, as bilinear
            interpolation up to rounding.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``groups`` does not divide ``in_channels``, or with ``style='pl'`` s * s does
            not.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, s * H, s * W), or a size less than s smaller.

    Example:
        >>> import torch
        >>> DySample(16)(torch.rand(2, 16, 7, 5), size=(13, 10)).shape
        torch.Size([2, 16, 13, 10])
    """

    def __init__(
        self,
        in_channels: int,
        *,
        scale_factor: Enlargement = 2,
        style: Literal['lp', 'pl'] = 'lp',
        groups: Positive = 4,
        dyscope: bool = False,
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, scale_factor, init_cfg)
        pixels = scale_factor**2
        if in_channels % groups:
            raise ValueError(f'expected groups that divide in_channels {in_channels}, got {groups}')
        if style == 'pl' and in_channels % pixels:
            raise ValueError(
                f'expected in_channels that {pixels}, the square of scale_factor, divides with '
                f"style='pl', got {in_channels}"
            )
        self.style = style
        self.groups = groups
        self.start = start
        width, points = (in_channels, pixels) if style == 'lp' else (in_channels // pixels, 1)
        self.offset = nn.Conv2d(width, 2 * groups * points, 1)
        self.scope = nn.Conv2d(width, 2 * groups * points, 1, bias=False) if dyscope else None
        self.register_buffer('init_pos', initial_offset(groups, scale_factor))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw small offsets, or none, and a scope of one quarter."""
        normal_init(self.offset, std=0.001 if self.start == 'paper' else 0)
        if self.scope is not None:
            nn.init.zeros_(self.scope.weight)

    def enlarge(self, x: Tensor) -> Tensor:
        """Read ``x`` at the points."""
        wide, s = widened(x), self.scale_factor
        source = wide if self.style == 'lp' else pixel_shuffle(wide, s)
        offset = in_float32(self.offset, source)
        if self.scope is None:
            offset = offset * 0.25
        else:
            offset = offset * (0.5 * in_float32(self.scope, source).sigmoid())
        if self.style == 'pl':
            offset = pixel_unshuffle(offset, s)
        out = point_sampled(wide, offset + self.init_pos.to(offset.dtype), s)
        return narrowed(out, x.dtype)
