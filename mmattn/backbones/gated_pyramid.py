"""The pyramid of VAN and its kin: blocks that gate a map by large kernels, and mix its channels."""

import functools
import inspect
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar

import torch
from mmcv.cnn import build_norm_layer
from mmcv.cnn.bricks import DropPath
from mmengine.model import BaseModule, ModuleList
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.lka import LKA
from mmattn.attention.strip_module import StripModule
from mmattn.backbones import lean
from mmattn.backbones.base import Backbone
from mmattn.compat import is_compiling
from mmattn.layers.checks import (
    NOT_EMPTY,
    DropRate,
    Factor,
    Finite,
    ModuleCfg,
    Must,
    NormCfg,
    Positive,
    Share,
    build_norm,
    check_option,
    within,
    works_on_maps,
)
from mmattn.layers.folding import (
    affine_of,
    is_at_rest,
    scale_input,
    scale_output,
    takes_shift,
    why_not,
)
from mmattn.layers.init import init_by_fan_out
from mmattn.layers.scaled_conv import ScaledConv2d
from mmattn.ops.activation import activated
from mmattn.ops.bare import is_bare

# Widths and depths that the networks share.
TINY = dict(embed_dims=(32, 64, 160, 256), depths=(3, 3, 5, 2))
SMALL = dict(embed_dims=(64, 128, 320, 512), depths=(2, 2, 4, 2))
BASE = dict(embed_dims=(64, 128, 320, 512), depths=(3, 3, 12, 3))
LARGE = dict(embed_dims=(64, 128, 320, 512), depths=(3, 5, 27, 3))
MLP_RATIOS = (8, 8, 4, 4)


def _norm_channels(norm: nn.Module, x: Tensor) -> Tensor:
    """Normalize (N, C, H, W) by ``norm``, over the channels if it is a layer norm."""
    if not isinstance(norm, nn.LayerNorm):
        return norm(x)
    channels_last = x.is_contiguous(memory_format=torch.channels_last)
    x = norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    return x if channels_last else x.contiguous()


StageNormCfg = Annotated[
    dict,
    Must(" of a norm layer, such as dict(type='LN')", works_on_maps(build_norm, _norm_channels)),
]


class PatchEmbed(nn.Module):
    """Overlapping convolution with stride and norm that opens a stage."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int, norm_cfg: dict
    ) -> None:
        super().__init__()
        self.proj = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride=stride, padding=kernel_size // 2
        )
        self.norm = build_norm_layer(norm_cfg, out_channels)[1]

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        return self.norm(self.proj(x))


class SpatialAttention(BaseModule):
    """Attention module between two 1x1 convolutions, with a shortcut around all three."""

    def __init__(self, in_channels: int, attention: dict) -> None:
        super().__init__()
        self.proj_1 = nn.Conv2d(in_channels, in_channels, 1)
        self.activation = nn.GELU()
        self.spatial_gating_unit = MODELS.build({**attention, 'in_channels': in_channels})
        self.proj_2 = ScaledConv2d(in_channels, in_channels, 1)

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        """Keep the shape (N, C, H, W); with ``scale`` (C,), the output is multiplied by it."""
        # The inner shortcut is in the released code and not in the paper's figure 4.
        if scale is None:
            return x + self.within_shortcut(x)
        return x * scale[:, None, None] + self.within_shortcut(x, scale)

    def within_shortcut(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        """Compute what the shortcut leads around, multiplied by ``scale`` if there is one."""
        out = self.spatial_gating_unit(activated(self.activation, self.proj_1(x)))
        return self.proj_2(out) if scale is None else self.proj_2(out, scale)

    def takes_scale(self) -> bool:
        """Tell whether nobody listens to what the scale would change."""
        return type(self.proj_2) is ScaledConv2d and is_bare(self.proj_2)

    def branch(self) -> lean.Branch | None:
        """Tell how a lean block computes it; None where its modules are others or have hooks."""
        chain = _chain_of(self.spatial_gating_unit)
        if chain is None or not lean.can_be_done_again(self, SpatialAttention, LKA, StripModule):
            return None
        return lean.Branch(self.proj_1, lean.Gate(chain), self.proj_2, shortcut=True)


def _chain_of(gate: nn.Module) -> Sequence[nn.Conv2d] | None:
    """List the convolutions in a row whose product with a map a gate is; None if it is no such."""
    if not isinstance(gate, LKA | StripModule) or gate.blend is not None:
        return None
    if isinstance(gate, LKA) and (gate.combine != 'multiply' or gate.act is not None):
        return None
    return gate.chain()


class DepthwiseConv(nn.Module):
    """3x3 depthwise convolution; a module of its own because the released keys have its name."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (N, C, H, W)."""
        return self.dwconv(x)


class Mlp(nn.Module):
    """Convolutional feed-forward network: 1x1, 3x3 depthwise, GELU, 1x1."""

    def __init__(self, in_channels: int, hidden_channels: int, drop_rate: float) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(in_channels, hidden_channels, 1)
        self.dwconv = DepthwiseConv(hidden_channels)
        self.act = nn.GELU()
        self.fc2 = ScaledConv2d(hidden_channels, in_channels, 1)
        self.drop = nn.Dropout(drop_rate)

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        """Keep the shape (N, C, H, W); with ``scale`` (C,), the output is multiplied by it."""
        x = self.drop(activated(self.act, self.dwconv(self.fc1(x))))
        return self.drop(self.fc2(x) if scale is None else self.fc2(x, scale))

    def takes_scale(self) -> bool:
        """Tell whether nobody listens to what the scale would change."""
        return type(self.fc2) is ScaledConv2d and is_bare(self.fc2) and is_bare(self.drop)

    def branch(self) -> lean.Branch | None:
        """Tell how a lean block computes it; None where its modules are others or have hooks."""
        if not lean.can_be_done_again(self, Mlp, DepthwiseConv):
            return None
        return lean.Branch(self.fc1, lean.Depthwise(self.dwconv.dwconv), self.fc2)


class Block(BaseModule):
    """Attention and feed-forward network, each behind a norm and on a scaled residual branch."""

    def __init__(
        self,
        in_channels: int,
        mlp_ratio: float,
        attention: dict,
        norm_cfg: dict,
        drop_rate: float,
        drop_path_rate: float,
        layer_scale_init_value: float,
        lean: bool,
    ) -> None:
        super().__init__()
        self.lean = lean
        self.norm1 = build_norm_layer(norm_cfg, in_channels)[1]
        self.attn = SpatialAttention(in_channels, attention)
        self.drop_path = DropPath(drop_path_rate) if drop_path_rate > 0 else nn.Identity()
        self.norm2 = build_norm_layer(norm_cfg, in_channels)[1]
        self.mlp = Mlp(in_channels, int(in_channels * mlp_ratio), drop_rate)
        scale = float(layer_scale_init_value)
        self.layer_scale_1 = nn.Parameter(torch.full((in_channels,), scale))
        self.layer_scale_2 = nn.Parameter(torch.full((in_channels,), scale))

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (N, C, H, W)."""
        x = x + self.drop_path(self._scaled(self.attn, self.norm1, self.layer_scale_1, x))
        return x + self.drop_path(self._scaled(self.mlp, self.norm2, self.layer_scale_2, x))

    def _scaled(
        self, part: SpatialAttention | Mlp, norm: nn.Module, scale: Tensor, x: Tensor
    ) -> Tensor:
        """Compute ``scale * part(norm(x))``, of which training keeps less than that says."""
        if _is_own(part) and self.training and torch.is_grad_enabled():
            branch = part.branch() if self.lean and not is_compiling() else None
            if branch is not None:
                return lean.apply(branch, norm, scale, x)
            if part.takes_scale():
                return part(norm(x), scale)
        return scale[:, None, None] * part(norm(x))

    def folded(self) -> nn.Module:
        """Give the block without norms and scales, if its norms are batch norms."""
        attn, mlp = self.attn, self.mlp
        if not (_is_own(attn) and _is_own(mlp)):
            return self
        norms, first, last = (
            (self.norm1, self.norm2),
            (attn.proj_1, mlp.fc1),
            (attn.proj_2, mlp.fc2),
        )
        fits = all(map(takes_shift, first)) and all(type(conv) is ScaledConv2d for conv in last)
        fits &= all(map(is_at_rest, norms)) and not any(map(why_not, (*norms, *first, *last)))
        return FoldedBlock(self) if fits else self


def _is_own(part: nn.Module) -> bool:
    """Tell whether a half of a block is that of this file: another may stand in its place."""
    return type(part) in (SpatialAttention, Mlp) and is_bare(part)


class FoldedBlock(nn.Module):
    """What a block computes in inference: ``x = a * x + attention(x)``, then ``x + mlp(x)``.

    The first norm is ``s * x + t``, and its shortcut is scaled by ``l``: with it ``x`` becomes
    ``(1 + l * s) * x + l * t``, whose constant the last convolution of the branch adds. All other
    norms and scales are in the 1x1 convolutions next to them.

    Args:
        block: Block in evaluation, whose convolutions are changed and taken.
    """

    def __init__(self, block: Block) -> None:
        super().__init__()
        attn, mlp = block.attn, block.mlp
        scale, shift = affine_of(block.norm1)
        layer_scale = block.layer_scale_1.detach().double()
        scale_input(attn.proj_1, scale, shift)
        scale_output(attn.proj_2, layer_scale, layer_scale * shift)
        shortcut = (1 + layer_scale * scale)[:, None, None].to(block.layer_scale_1.dtype)
        self.shortcut = nn.Parameter(shortcut, block.layer_scale_1.requires_grad)
        scale_input(mlp.fc1, *affine_of(block.norm2))
        layer_scale = block.layer_scale_2.detach().double()
        scale_output(mlp.fc2, layer_scale, torch.zeros_like(layer_scale))
        self.attn = attn
        self.mlp = mlp

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (N, C, H, W)."""
        x = torch.addcmul(self.attn.within_shortcut(x), x, self.shortcut)
        return x + self.mlp(x)


def _with_defaults(init: Callable[..., None], defaults: dict[str, Any]) -> Callable[..., None]:
    """Give a constructor other defaults, which its signature tells."""
    signature = inspect.signature(init)

    @functools.wraps(init)
    def run(self: object, *args: object, **options: object) -> None:
        given = signature.bind_partial(self, *args, **options).arguments
        init(**{**defaults, **given})

    parameters = [
        p.replace(default=defaults.get(p.name, p.default)) for p in signature.parameters.values()
    ]
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return run


class GatedPyramid(Backbone):
    """Base of VAN and its kin: a pyramid whose blocks gate with large kernels.

    A stage is a patch embedding, blocks, and a norm over the channels through which the next stage
    sees it. A network of this kind says what it has of its own: its sizes in :attr:`archs`, the
    embedding of the first stage in :meth:`embed_image`, and by keywords of its class the defaults
    of its options, as in ``class Net(GatedPyramid, attention=dict(type='LSK'))``. The options are
    described at :class:`mmattn.VAN`.
    """

    archs: ClassVar[dict[str, dict]] = {'t': TINY, 's': SMALL}
    """Widths and depths of the stages, by the names of the sizes."""

    slot = 'spatial_gating_unit'
    # Registered ahead of those of the networks, which are recognised first.
    layouts: ClassVar[dict[str, str]] = {'released VAN': r'block1\.0\.attn\.proj_1\.weight'}

    def __init_subclass__(cls, **defaults: Any) -> None:
        super().__init_subclass__()
        if defaults:
            cls.__init__ = _with_defaults(cls.__init__, defaults)  # type: ignore[method-assign]

    def __init__(
        self,
        arch: str | dict = 't',
        *,
        in_channels: Positive = 3,
        attention: ModuleCfg = dict(type='LKA'),
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        norm_cfg: NormCfg = dict(type='BN'),
        stage_norm_cfg: StageNormCfg = dict(type='LN', eps=1e-6),
        norm_eval: bool = False,
        with_cp: bool = False,
        lean: bool = False,
        drop_rate: Share = 0.0,
        drop_path_rate: DropRate = 0.0,
        layer_scale_init_value: Finite = 1e-2,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        embed_dims, depths, mlp_ratios = self._sizes(arch)
        if lean and with_cp:
            raise ValueError('expected lean or with_cp to be False, got True for both')
        if lean and drop_rate > 0:
            raise ValueError(
                f'expected drop_rate=0 with lean=True, got {drop_rate}; set one of them otherwise'
            )
        super().__init__(
            out_indices=out_indices,
            num_stages=len(depths),
            norm_eval=norm_eval,
            with_cp=with_cp,
            init_cfg=init_cfg,
        )
        self.in_channels = in_channels
        self.out_channels = tuple(embed_dims[i] for i in self.out_indices)
        drop_path_rates = iter(
            torch.linspace(0, drop_path_rate, sum(depths), device='cpu').tolist()
        )
        for i in range(self.out_indices[-1] + 1):
            blocks = [
                Block(
                    embed_dims[i],
                    mlp_ratios[i],
                    attention,
                    norm_cfg,
                    drop_rate,
                    next(drop_path_rates),
                    layer_scale_init_value,
                    lean,
                )
                for _ in range(depths[i])
            ]
            if i == 0:
                patch_embed = self.embed_image(in_channels, embed_dims[i], norm_cfg)
            else:
                patch_embed = PatchEmbed(in_channels, embed_dims[i], 3, 2, norm_cfg)
            self.add_module(f'patch_embed{i + 1}', patch_embed)
            self.add_module(f'block{i + 1}', ModuleList(blocks))
            self.add_module(f'norm{i + 1}', build_norm_layer(stage_norm_cfg, embed_dims[i])[1])
            in_channels = embed_dims[i]
        self.freeze(frozen_stages)

    @staticmethod
    def embed_image(in_channels: int, out_channels: int, norm_cfg: dict) -> nn.Module:
        """Build the patch embedding of the first stage, which has a stride of 4."""
        return PatchEmbed(in_channels, out_channels, 7, 4, norm_cfg)

    def stages(self) -> list[list[nn.Module]]:
        """List patch embedding, blocks and norm of each stage."""
        return [
            [getattr(self, f'{part}{i + 1}') for part in ('patch_embed', 'block', 'norm')]
            for i in range(self.out_indices[-1] + 1)
        ]

    def extract(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the maps of the stages in ``out_indices``."""
        maps = []
        blocks: ModuleList
        for i, (patch_embed, blocks, norm) in enumerate(self.stages()):
            x = self.run(patch_embed, x)
            for block in blocks:
                x = self.run(block, x)
            x = _norm_channels(norm, x)
            if i in self.out_indices:
                maps.append(x)
        return tuple(maps)

    def init_weights(self) -> None:
        """Initialize as the release does, unless ``init_cfg`` says otherwise."""
        if self.init_cfg is None:
            init_by_fan_out(self)
        super().init_weights()

    @staticmethod
    def own_key(key: str) -> str:
        """Give the depthwise convolution of the feed-forward network the name of the release."""
        return re.sub(r'\.mlp\.dwconv\.(weight|bias)$', r'.mlp.dwconv.dwconv.\1', key)

    @staticmethod
    def is_optional(key: str) -> bool:
        """Tell the classifier, averages of other weights and the stages from anything else."""
        return re.match(r'(head|(patch_embed|block|norm)[1-9])\.|ema_', key) is not None

    @staticmethod
    def part(key: str) -> str:
        """Name the first module of a key; averages of the whole model belong to none."""
        return 'ema_' if key.startswith('ema_') else key.split('.')[0]

    def _sizes(self, arch: str | dict) -> tuple[Sequence[int], Sequence[int], Sequence[float]]:
        """Look up the widths, depths and expansion ratios of the stages."""
        if isinstance(arch, str):
            if arch not in self.archs:
                raise ValueError(
                    f'expected arch one of {", ".join(self.archs)} or a dict of embed_dims, depths '
                    f'and mlp_ratios, got {arch!r}'
                )
            return self.archs[arch]['embed_dims'], self.archs[arch]['depths'], MLP_RATIOS
        if set(arch) != {'embed_dims', 'depths', 'mlp_ratios'}:
            raise ValueError(
                f'expected arch with the keys embed_dims, depths and mlp_ratios, got {sorted(arch)}'
            )
        kinds: dict[str, Any] = dict(
            embed_dims=Positive, depths=Annotated[int, within(1, 1000)], mlp_ratios=Factor
        )
        for key, kind in kinds.items():
            # A type made at run time.
            values = Annotated[Sequence[kind], NOT_EMPTY]  # type: ignore[valid-type]
            check_option(type(self).__name__, f'arch[{key!r}]', arch[key], values)
        sizes = arch['embed_dims'], arch['depths'], arch['mlp_ratios']
        if len({len(values) for values in sizes}) != 1:
            raise ValueError(
                'expected arch with one value per stage in embed_dims, depths and mlp_ratios, '
                f'got {arch}'
            )
        return sizes
