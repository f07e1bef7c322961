"""Frequency-aware feature fusion."""

import itertools
from typing import ClassVar

import torch
import torch.nn.functional as F
from mmengine.model import constant_init, normal_init, xavier_init
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.fusion.base import LevelFusion
from mmattn.layers.checks import Odd, Positive, check_map
from mmattn.ops.factor import softmax_factor
from mmattn.ops.point_sampled import initial_offset, point_sampled
from mmattn.ops.precision import convolved, in_float32, saturate_, wide_sigmoid, widened
from mmattn.ops.reassembled import reassembled


@MODELS.register_module()
class FreqFusion(LevelFusion):
    """What a sharper fine map and a smoothly enlarged coarse map add up to.

    Paper: `Frequency-aware Feature Fusion for Dense Image Prediction
    <https://arxiv.org/abs/2408.12879>`_ (TPAMI 2024). Weights of the authors' release load as they
    are.

    Two convolutions predict kernels for each pixel of the fine map, from both maps: of 5 x 5 for a
    low-pass filter that enlarges the coarse map, and of 3 x 3 for one whose result is subtracted
    from twice the fine map. With ``feature_resample`` the enlarged map is then read at learnt
    points, where neighbours are more alike. The host adds the two.

    Note:
        The fine map has to be exactly twice as large as the coarse one: here rows and columns of
        zeros are added to it if it is smaller, and cut off both results. The release refuses such
        maps, and pads images to multiples of 64.

        It does not start as an interpolation: at first the fine map is twice itself less a blur.
        Near the border the weights of what lies outside go nowhere, as in mmcv's CARAFE, with which
        the released weights were trained.

        Kernels, points and samples are computed in float32 in half precision.

    Args:
        in_channels: Channels of the fine map.
        lr_channels: Channels of the coarse map; None for those of the fine one. A host that adds
            the two needs the same.
        compressed_channels: Channels to which both are compressed; the released pyramids have an
            eighth of the channels of both together. With ``feature_resample`` a multiple of 8.
        low_kernel: Side of the low-pass kernels, odd.
        high_kernel: Side of the kernels for the fine map, odd.
        encoder_kernel: Side of the convolutions that predict the kernels, odd.
        feature_resample: Whether the enlarged map is read at learnt points.
        feature_resample_groups: Number of channel groups with points of their own; divides
            ``lr_channels``.
        hamming_window: Whether a Hamming window weighs the kernels.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``compressed_channels`` is no multiple of 8 or ``feature_resample_groups``
            does not divide the coarse channels, with ``feature_resample``.

    Shape:
        - Inputs: fine (N, C, H, W) and coarse (N, lr_channels, h, w), with H = 2 h or 2 h - 1, and
          the same of the widths.
        - Outputs: (N, C, H, W) and (N, lr_channels, H, W).

    Example:
        >>> import torch
        >>> fine, coarse = FreqFusion(16)(torch.rand(2, 16, 13, 10), torch.rand(2, 16, 7, 5))
        >>> fine.shape, coarse.shape
        (torch.Size([2, 16, 13, 10]), torch.Size([2, 16, 13, 10]))
    """

    enlarges: ClassVar[bool] = True

    def __init__(
        self,
        in_channels: Positive,
        lr_channels: Positive | None = None,
        *,
        compressed_channels: Positive = 64,
        low_kernel: Odd = 5,
        high_kernel: Odd = 3,
        encoder_kernel: Odd = 3,
        feature_resample: bool = False,
        feature_resample_groups: Positive = 4,
        hamming_window: bool = True,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.in_channels = in_channels
        self.lr_channels = in_channels if lr_channels is None else lr_channels
        self.low_kernel = low_kernel
        self.high_kernel = high_kernel
        self.hr_channel_compressor = nn.Conv2d(in_channels, compressed_channels, 1)
        self.lr_channel_compressor = nn.Conv2d(self.lr_channels, compressed_channels, 1)

        def encoder(side: int) -> nn.Conv2d:
            return nn.Conv2d(
                compressed_channels, side**2, encoder_kernel, padding=encoder_kernel // 2
            )

        self.content_encoder = encoder(low_kernel)
        self.content_encoder2 = encoder(high_kernel)
        self.dysampler = None
        if feature_resample:
            groups = feature_resample_groups
            if compressed_channels % 8:
                raise ValueError(
                    'expected compressed_channels that are a multiple of 8 with feature_resample, '
                    f'got {compressed_channels}'
                )
            if self.lr_channels % groups:
                raise ValueError(
                    f'expected feature_resample_groups that divide {self.lr_channels} channels, '
                    f'got {groups}'
                )
            self.dysampler = LocalSimilaritySampler(compressed_channels, groups)
        for name, side in (('hamming_lowpass', low_kernel), ('hamming_highpass', high_kernel)):
            self.register_buffer(name, window(side) if hamming_window else torch.ones(1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw kernels that are nearly even, and small offsets."""
        for conv in (self.hr_channel_compressor, self.lr_channel_compressor):
            xavier_init(conv, distribution='uniform')
        for conv in (self.content_encoder, self.content_encoder2):
            normal_init(conv, std=0.001)
        if self.dysampler is not None:
            self.dysampler.reset_parameters()

    def init_weights(self) -> None:
        """Start as the release does whatever a host drew; ``init_cfg`` has the last word."""
        if not self.is_init:
            self.reset_parameters()
        super().init_weights()

    def map_shapes(self, h: int, w: int) -> list[tuple[int, int, int]]:
        """Tell the shapes of the fine and of the coarse map."""
        return [(self.in_channels, h, w), (self.lr_channels, (h + 1) // 2, (w + 1) // 2)]

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Sharpen the fine map ``x`` and enlarge the coarse map ``y``.

        Returns:
            The two, of the size of ``x``.

        Raises:
            ValueError: If they are not of their shapes (N, C, H, W), or ``x`` is not twice as large
                as ``y``, or one row or column less.
        """
        check_map(self, x, self.in_channels, 'x')
        check_map(self, y, self.lr_channels, 'y')
        (height, width), (h, w) = x.shape[2:], y.shape[2:]
        down, right = 2 * h - height, 2 * w - width
        if x.shape[0] != y.shape[0] or not (0 <= down <= 1 and 0 <= right <= 1):
            raise ValueError(
                f'FreqFusion expected x of twice the size of y, or one row or column less, got x '
                f'{tuple(x.shape)} and y {tuple(y.shape)}'
            )
        x = F.pad(x, [0, right, 0, down])
        fine, coarse = self._fused(x, y)
        return fine[:, :, :height, :width], coarse[:, :, :height, :width]

    def _fused(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        low, high = self.content_encoder, self.content_encoder2
        fine = convolved(self.hr_channel_compressor, x)
        coarse = convolved(self.lr_channel_compressor, y)
        of_fine = convolved(high, fine)
        fine = self._sharpened(fine, of_fine)
        smooth = convolved(low, fine)
        kernels = self._low(smooth)
        smooth = saturate_(smooth + self._enlarged(convolved(low, coarse), kernels))
        kernels_of_both = self._low(smooth)
        of_both = saturate_(of_fine + self._enlarged(convolved(high, coarse), kernels_of_both))
        out = self._enlarged(y, kernels_of_both)
        if self.dysampler is not None:
            out = self.dysampler(out, fine, coarse)
        return self._sharpened(x, of_both), out

    def _low(self, logits: Tensor) -> Tensor:
        return kernels_of(logits, self.hamming_lowpass)

    def _enlarged(self, x: Tensor, kernels: Tensor) -> Tensor:
        return reassembled(x, kernels, self.low_kernel, 2)

    def _sharpened(self, x: Tensor, logits: Tensor) -> Tensor:
        """Subtract from twice a map what its kernels make of it."""
        kernels = kernels_of(logits, self.hamming_highpass)
        blur = reassembled(x, kernels, self.high_kernel)
        return saturate_(torch.lerp(blur, x, 2.0))


class LocalSimilaritySampler(nn.Module):
    """Reading of an enlarged map at learnt points, told how alike the neighbours of a pixel are.

    Args:
        channels: Channels of the compressed maps, a multiple of 8.
        groups: Number of channel groups with points of their own.
    """

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm_hr = nn.GroupNorm(channels // 8, channels)
        self.norm_lr = nn.GroupNorm(channels // 8, channels)

        def conv(points: int) -> nn.Conv2d:
            return nn.Conv2d(channels + 8, 2 * groups * points, 3, padding=1)

        # One value for each pixel of the fine map: the coarse one has four in a place.
        self.offset, self.direct_scale = conv(4), conv(4)
        self.hr_offset, self.hr_direct_scale = conv(1), conv(1)
        # Where the pixels of the enlarged map lie; it is in the weights of the release.
        self.register_buffer('init_pos', initial_offset(groups, 2))

    def reset_parameters(self) -> None:
        """Draw small offsets, and a scope of one half."""
        for conv in (self.offset, self.hr_offset):
            normal_init(conv, std=0.001)
        for conv in (self.direct_scale, self.hr_direct_scale):
            constant_init(conv, 0)

    def forward(self, x: Tensor, fine: Tensor, coarse: Tensor) -> Tensor:
        """Read ``x`` of the size of the compressed fine map."""
        of_fine = with_similarity(self.norm_hr, fine)
        of_coarse = with_similarity(self.norm_lr, coarse)
        offset = in_float32(self.hr_offset, of_fine)
        offset = offset + F.pixel_shuffle(in_float32(self.offset, of_coarse), 2)
        scope = in_float32(self.hr_direct_scale, of_fine)
        scope = scope + F.pixel_shuffle(in_float32(self.direct_scale, of_coarse), 2)
        # In pixels of the coarse map, of which one is two of the fine.
        return point_sampled(x, 2 * offset * wide_sigmoid(scope), 1)


def kernels_of(logits: Tensor, hamming: Tensor) -> Tensor:
    """Turn logits (N, k * k, H, W) into kernels that sum to one, a window on them.

    A softmax, times the window, divided by the sum, is the softmax with its logarithm added.
    """
    wide = widened(logits)
    shift = hamming.to(wide.dtype).log().reshape(1, -1, 1, 1)
    return softmax_factor(wide + shift, 1, wide.dtype)


def window(side: int) -> Tensor:
    """Give a Hamming window of shape (1, 1, side, side)."""
    line = torch.hamming_window(side, periodic=False) if side > 1 else torch.ones(1)
    return torch.outer(line, line)[None, None]


def with_similarity(norm: nn.Module, x: Tensor) -> Tensor:
    """Put beside a normed map the cosine of each pixel and its 8 neighbours at a distance of 2.

    Args:
        norm: Norm layer.
        x: Map of shape (N, C, H, W), C >= 1.

    Returns:
        Map (N, C + 8, H, W) in float32, or in float64 if ``x`` is; of what lies outside the cosine
        is zero.
    """
    x = in_float32(norm, x)
    h, w = x.shape[2:]
    unit = F.normalize(x, dim=1, eps=1e-8)
    around = F.pad(unit, [2, 2, 2, 2])
    places = [place for place in itertools.product((0, 2, 4), repeat=2) if place != (2, 2)]
    cosines = [(unit * around[:, :, i : i + h, j : j + w]).sum(1) for i, j in places]
    return torch.cat([x, torch.stack(cosines, 1)], 1)
