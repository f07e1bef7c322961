"""MSCAN, the backbone of SegNeXt."""

from typing import ClassVar

from mmcv.cnn import build_norm_layer
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.backbones.gated_pyramid import BASE, LARGE, SMALL, TINY, GatedPyramid


class Stem(nn.Module):
    """Two convolutions with stride and norm that open the first stage."""

    def __init__(self, in_channels: int, out_channels: int, norm_cfg: dict) -> None:
        super().__init__()
        if out_channels < 2:
            raise ValueError(f'expected 2 channels or more in the first stage, got {out_channels}')
        half = out_channels // 2
        self.proj = nn.Sequential(
            nn.Conv2d(in_channels, half, 3, stride=2, padding=1),
            build_norm_layer(norm_cfg, half)[1],
            nn.GELU(),
            nn.Conv2d(half, out_channels, 3, stride=2, padding=1),
            build_norm_layer(norm_cfg, out_channels)[1],
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, out_channels, ceil(H / 4), ceil(W / 4))."""
        return self.proj(x)


@MODELS.register_module()
class MSCAN(GatedPyramid, attention=dict(type='MSCA'), stage_norm_cfg=dict(type='LN', eps=1e-5)):
    """Backbone of SegNeXt: VAN's pyramid, with two convolutions ahead and strips for a gate.

    Paper: `SegNeXt: Rethinking Convolutional Attention Design for Semantic Segmentation
    <https://arxiv.org/abs/2209.08575>`_ (NeurIPS 2022). Weights of the authors' release and of
    mmseg's ``MSCAN`` load as they are; their classifier is set aside. In the scope of mmseg, which
    has an ``MSCAN`` of its own, write ``type='mmattn.MSCAN'``.

    The options are those of :class:`mmattn.VAN`, with ``'t'``, ``'s'``, ``'b'`` and ``'l'`` for
    ``arch``, ``MSCA`` for ``attention`` and an eps of 1e-5 in ``stage_norm_cfg``. The first of the
    ``embed_dims`` is at least 2.

    Example:
        >>> import torch
        >>> maps = MSCAN('t', out_indices=(1, 2))(torch.rand(1, 3, 32, 64))
        >>> [tuple(x.shape) for x in maps]
        [(1, 64, 4, 8), (1, 160, 2, 4)]
    """

    archs: ClassVar[dict[str, dict]] = {'t': TINY, 's': SMALL, 'b': BASE, 'l': LARGE}
    layouts: ClassVar[dict[str, str]] = {
        'released MSCAN': r'block1\.0\.attn\.spatial_gating_unit\.conv0_1\.weight',
        'mmseg MSCAN': r'block1\.0\.mlp\.dwconv\.weight',
    }

    @staticmethod
    def embed_image(in_channels: int, out_channels: int, norm_cfg: dict) -> nn.Module:
        """Build the two convolutions of the first stage."""
        return Stem(in_channels, out_channels, norm_cfg)
