"""Visual Attention Network."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import torch
from mmcv.cnn import build_norm_layer
from mmcv.cnn.bricks import DropPath
from mmengine.model import BaseModule, ModuleList
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.lka import LKA
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

# Paper, tables 5 and 8; the sizes of B6's third stage are the release's.
ARCHS = {
    'b0': dict(embed_dims=(32, 64, 160, 256), depths=(3, 3, 5, 2)),
    'b1': dict(embed_dims=(64, 128, 320, 512), depths=(2, 2, 4, 2)),
    'b2': dict(embed_dims=(64, 128, 320, 512), depths=(3, 3, 12, 3)),
    'b3': dict(embed_dims=(64, 128, 320, 512), depths=(3, 5, 27, 3)),
    'b4': dict(embed_dims=(64, 128, 320, 512), depths=(3, 6, 40, 3)),
    'b5': dict(embed_dims=(96, 192, 480, 768), depths=(3, 3, 24, 3)),
    'b6': dict(embed_dims=(96, 192, 384, 768), depths=(6, 6, 90, 6)),
}
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
        gate = self.spatial_gating_unit
        if not isinstance(gate, LKA) or not lean.can_be_done_again(self, SpatialAttention, LKA):
            return None
        if gate.combine != 'multiply' or gate.act is not None or gate.blend is not None:
            return None
        return lean.Branch(self.proj_1, lean.Gate(gate.chain()), self.proj_2, shortcut=True)


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


@MODELS.register_module()
class VAN(Backbone):
    """Visual Attention Network: a convolutional pyramid whose blocks gate with large kernels.

    Paper: `Visual Attention Network <https://arxiv.org/abs/2202.09741>`_ (CVMJ 2023). Weights of
    the authors' release and of mmpretrain's ``VAN`` load as they are; their classifier is set
    aside. In the scope of mmpretrain, which has a ``VAN`` of its own, write ``type='mmattn.VAN'``.

    Args:
        arch: ``'b0'`` to ``'b6'``, or a dict of ``embed_dims``, ``depths`` and ``mlp_ratios`` with
            one value per stage.
        in_channels: Channels of the image.
        attention: Config of the attention module in every block; ``in_channels`` is filled in.
        out_indices: Stages, counted from 0, whose maps are returned.
        frozen_stages: Stages 0 to ``frozen_stages`` are frozen; -1 freezes none.
        norm_cfg: Norm of the patch embeddings and blocks.
        stage_norm_cfg: Norm over the channels at the end of each stage. The released classifier
            has an eps of 1e-6, the released segmentation code 1e-5.
        norm_eval: Whether batch norm layers keep their running statistics while training.
        with_cp: Whether blocks are recomputed in the backward pass, which saves memory.
        lean: Whether blocks keep 0.4 of what they would keep for the backward pass, for 3 to 6 %
            more time: norms, GELU, gates and 3x3 depthwise convolutions are computed
            again there. Gradients are the same up to rounding; a second derivative and transforms
            of ``torch.func`` are refused. A half of a block whose modules are others, have hooks
            or compute another attention than LKA's gate keeps what it would, and so does a norm
            that is no batch norm or synchronizes several processes. ``torch.compile`` and
            ``torch.export`` see the plain block.
        drop_rate: Dropout rate in the feed-forward networks.
        drop_path_rate: Stochastic depth rate of the last block; it rises linearly from 0.
        layer_scale_init_value: Initial scale of the residual branches.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`; without one, the
            released initialization.

    Raises:
        ValueError: If ``arch`` is unknown or incomplete, ``out_indices`` or ``frozen_stages``
            name a stage that does not exist, or ``lean`` meets ``with_cp`` or ``drop_rate``.

    Shape:
        - Input: (N, in_channels, H, W) with any H, W >= 1.
        - Output: one (N, C_i, H_i, W_i) per out index, with strides 4, 8, 16 and 32.

    Example:
        >>> import torch
        >>> maps = VAN('b0', out_indices=(0, 1))(torch.rand(1, 3, 32, 64))
        >>> [tuple(x.shape) for x in maps]
        [(1, 32, 8, 16), (1, 64, 4, 8)]
    """

    slot = 'spatial_gating_unit'
    layouts: ClassVar[dict[str, str]] = {
        'released VAN': r'block1\.0\.attn\.proj_1\.weight',
        'mmpretrain VAN': r'blocks1\.0\.attn\.proj_1\.weight',
        'Hugging Face VAN': r'(van\.)?encoder\.stages\.0\.layers\.0\.pre_normomalization\.weight',
    }

    def __init__(
        self,
        arch: str | dict = 'b2',
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
        embed_dims, depths, mlp_ratios = _sizes(arch)
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
            kernel_size, stride = (7, 4) if i == 0 else (3, 2)
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
            patch_embed = PatchEmbed(in_channels, embed_dims[i], kernel_size, stride, norm_cfg)
            self.add_module(f'patch_embed{i + 1}', patch_embed)
            self.add_module(f'block{i + 1}', ModuleList(blocks))
            self.add_module(f'norm{i + 1}', build_norm_layer(stage_norm_cfg, embed_dims[i])[1])
            in_channels = embed_dims[i]
        self.freeze(frozen_stages)

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
        """Turn the key names of mmpretrain and Hugging Face into the release's, which are ours."""
        key = key.removeprefix('van.')
        if key.startswith('encoder.stages.'):
            return _own_key_of_hugging_face(key)
        key = re.sub(r'^blocks(\d)', r'block\1', key)
        key = re.sub(r'^(patch_embed\d)\.projection\.', r'\1.proj.', key)
        key = key.replace('.DW_conv.', '.conv0.').replace('.DW_D_conv.', '.conv_spatial.')
        return re.sub(r'\.mlp\.dwconv\.(weight|bias)$', r'.mlp.dwconv.dwconv.\1', key)

    @staticmethod
    def is_optional(key: str) -> bool:
        """Tell the classifier and the stages from anything else."""
        # Hugging Face has a last norm that its network does not use.
        classifier = r'head\.|classifier\.|layernorm\.'
        return re.match(rf'{classifier}|(patch_embed|block|norm)[1-9]\.', key) is not None


_LKA_OF_HUGGING_FACE = 'attention.attention_layer.attention'
_OF_HUGGING_FACE = {
    'pre_normomalization': 'norm1',
    'post_normalization': 'norm2',
    'attention.pre_projection.conv': 'attn.proj_1',
    f'{_LKA_OF_HUGGING_FACE}.depth_wise': 'attn.spatial_gating_unit.conv0',
    f'{_LKA_OF_HUGGING_FACE}.depth_wise_dilated': 'attn.spatial_gating_unit.conv_spatial',
    f'{_LKA_OF_HUGGING_FACE}.point_wise': 'attn.spatial_gating_unit.conv1',
    'attention.post_projection': 'attn.proj_2',
    'mlp.in_dense': 'mlp.fc1',
    'mlp.depth_wise': 'mlp.dwconv.dwconv',
    'mlp.out_dense': 'mlp.fc2',
}


def _own_key_of_hugging_face(key: str) -> str:
    """Turn the key of a stage into ours; one that no stage has stays as it is."""
    place = re.match(r'encoder\.stages\.(\d+)\.(?:layers\.(\d+)\.)?(.+)\.([^.]+)$', key)
    if place is None:
        return key
    index, block, name, leaf = place.groups()
    stage = int(index) + 1
    if block is None:
        if name.startswith('embeddings.'):
            part = 'proj' if name == 'embeddings.convolution' else 'norm'
            return f'patch_embed{stage}.{part}.{leaf}'
        return f'norm{stage}.{leaf}' if name == 'normalization' else key
    if name in ('attention_scaling', 'mlp_scaling'):
        return f'block{stage}.{block}.layer_scale_{1 if name == "attention_scaling" else 2}'
    return f'block{stage}.{block}.{_OF_HUGGING_FACE.get(name, name)}.{leaf}'


def _sizes(arch: str | dict) -> tuple[Sequence[int], Sequence[int], Sequence[float]]:
    """Look up the widths, depths and expansion ratios of the stages."""
    if isinstance(arch, str):
        if arch not in ARCHS:
            raise ValueError(
                f'expected arch one of {", ".join(ARCHS)} or a dict of embed_dims, depths and '
                f'mlp_ratios, got {arch!r}'
            )
        return ARCHS[arch]['embed_dims'], ARCHS[arch]['depths'], MLP_RATIOS
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
        check_option('VAN', f'arch[{key!r}]', arch[key], values)
    sizes = arch['embed_dims'], arch['depths'], arch['mlp_ratios']
    if len({len(values) for values in sizes}) != 1:
        raise ValueError(
            'expected arch with one value per stage in embed_dims, depths and mlp_ratios, '
            f'got {arch}'
        )
    return sizes
