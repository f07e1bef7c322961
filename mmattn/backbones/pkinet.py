"""PKINet: depthwise kernels of several sizes on one map, gated by its context."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar

import torch
from mmcv.cnn import build_norm_layer
from mmcv.cnn.bricks import DropPath
from mmengine.model import BaseModule, ModuleList
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.caa import CAA
from mmattn.backbones.base import Backbone
from mmattn.layers.channels import make_divisible
from mmattn.layers.checks import (
    NOT_EMPTY,
    ActCfg,
    DropRate,
    Factor,
    ModuleCfg,
    NormCfg,
    Odd,
    Positive,
    Share,
    check_option,
    within,
)
from mmattn.layers.conv import AnySizeConvModule
from mmattn.ops.norm import norm_any_batch
from mmattn.ops.precision import gated, wide_mean

# The sizes of the release; the first of embed_dims is the stem's.
ARCHS = {
    't': dict(embed_dims=(16, 32, 64, 128, 256), depths=(4, 14, 22, 4)),
    's': dict(embed_dims=(32, 64, 128, 256, 512), depths=(4, 12, 20, 4)),
    'b': dict(embed_dims=(40, 80, 160, 320, 640), depths=(6, 16, 24, 6)),
}
OF_ALL = dict(
    ffn_ratios=(4, 4, 4, 4), shortcut_ratios=(8, 8, 4, 4), shortcut_kernel_sizes=(5, 7, 9, 11)
)
# Of a PKI module: the first convolution, and those that are added to it.
KERNEL_SIZES = (3, 5, 7, 9, 11)
# Where the released network, one flat list of layers, has what is named here.
_OF_RELEASED_FFN = {'1': 'norm', '3.conv': 'fc1', '4.conv': 'dwconv', '7.conv': 'fc2'}
# Of CAA's strips in the first block of a stage; each next block has two pixels more.
STRIP = 11


class Layer(AnySizeConvModule):
    """Convolution, norm and activation that start as their network says.

    mmcv's ``ConvModule`` draws its weights by itself. So does the stem here, as in the release.
    """

    def init_weights(self) -> None:
        """Leave the weights to the network."""


class GSiLU(nn.Module):
    """Multiply each channel by the sigmoid of its mean."""

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (N, C, H, W)."""
        return gated(x, wide_mean(x, (2, 3), keepdim=True).sigmoid())


class FeedForward(BaseModule):
    """Feed-forward network behind a layer norm: 1x1, depthwise, GSiLU, 1x1."""

    def __init__(
        self, in_channels: int, ratio: float, kernel_size: int, drop_rate: float = 0.0
    ) -> None:
        super().__init__()
        hidden = int(in_channels * ratio)
        self.norm = nn.LayerNorm(in_channels)
        self.fc1 = nn.Conv2d(in_channels, hidden, 1)
        self.dwconv = nn.Conv2d(
            hidden, hidden, kernel_size, padding=kernel_size // 2, groups=hidden
        )
        self.act = GSiLU()
        self.fc2 = nn.Conv2d(hidden, in_channels, 1)
        self.drop = nn.Dropout(drop_rate)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (N, C, H, W)."""
        x = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return self.drop(self.fc2(self.drop(self.act(self.dwconv(self.fc1(x))))))


class PKIModule(BaseModule):
    """Depthwise convolutions of five sizes, added up and gated by the context of their input."""

    def __init__(self, in_channels: int, attention: dict, cfgs: dict[str, Any]) -> None:
        super().__init__()
        c = in_channels
        self.pre_conv = Layer(c, c, 1, **cfgs)
        for i, k in enumerate(KERNEL_SIZES):
            conv = Layer(c, c, k, padding=k // 2, groups=c, act_cfg=None)
            self.add_module(f'dw_conv{i or ""}', conv)
        self.pw_conv = Layer(c, c, 1, **cfgs)
        self.caa_factor = MODELS.build({**attention, 'in_channels': c})
        self.post_conv = Layer(c, c, 1, **cfgs)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (N, C, H, W)."""
        y = self.pre_conv(x)
        near = self.dw_conv(y)
        x = near
        for conv in (self.dw_conv1, self.dw_conv2, self.dw_conv3, self.dw_conv4):
            x = x + conv(near)
        x = self.pw_conv(x)
        # Only CAA can gate one map by another.
        attended = self.caa_factor(y, x) if isinstance(self.caa_factor, CAA) else self.caa_factor(x)
        return self.post_conv(x + attended)


class PKIBlock(BaseModule):
    """PKI module and feed-forward network, each behind a norm and on a scaled residual branch."""

    def __init__(
        self,
        in_channels: int,
        ffn_ratio: float,
        attention: dict,
        drop_rate: float,
        drop_path_rate: float,
        cfgs: dict,
    ) -> None:
        super().__init__()
        self.norm1 = build_norm_layer(cfgs['norm_cfg'], in_channels)[1]
        self.block = PKIModule(in_channels, attention, cfgs)
        self.norm2 = build_norm_layer(cfgs['norm_cfg'], in_channels)[1]
        self.ffn = FeedForward(in_channels, ffn_ratio, 3, drop_rate)
        self.drop_path = DropPath(drop_path_rate) if drop_path_rate > 0 else nn.Identity()
        self.gamma1 = nn.Parameter(torch.ones(in_channels))
        self.gamma2 = nn.Parameter(torch.ones(in_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (N, C, H, W)."""
        out = self.block(norm_any_batch(self.norm1, x))
        x = x + self.drop_path(self.gamma1[:, None, None] * out)
        out = self.ffn(norm_any_batch(self.norm2, x))
        return x + self.drop_path(self.gamma2[:, None, None] * out)


class Stem(BaseModule):
    """Three 3x3 convolutions, the first with stride 2."""

    def __init__(self, in_channels: int, out_channels: int, cfgs: dict) -> None:
        super().__init__()
        hidden = make_divisible(out_channels, 8)
        self.down_conv = AnySizeConvModule(in_channels, hidden, 3, stride=2, padding=1, **cfgs)
        self.conv1 = AnySizeConvModule(hidden, hidden, 3, padding=1, **cfgs)
        self.conv2 = AnySizeConvModule(hidden, out_channels, 3, padding=1, **cfgs)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, ceil(H / 2), ceil(W / 2))."""
        return self.conv2(self.conv1(self.down_conv(x)))


class PKIStage(BaseModule):
    """One half of the channels through a feed-forward network, the other through all blocks.

    The blocks are parallel, as in the release: each sees the same map, and their outputs are added
    up. The paper's figure reads as a sequence.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        ffn_ratio: float,
        shortcut_ratio: float,
        shortcut_kernel_size: int,
        attention: dict,
        drop_rate: float,
        drop_path_rates: Sequence[float],
        cfgs: dict,
    ) -> None:
        super().__init__()
        half = make_divisible(out_channels / 2, 8)
        self.downsample = Layer(in_channels, out_channels, 3, stride=2, padding=1, **cfgs)
        self.conv1 = Layer(out_channels, 2 * half, 1, **cfgs)
        self.ffn = FeedForward(half, shortcut_ratio, shortcut_kernel_size)
        self.blocks = ModuleList(
            PKIBlock(half, ffn_ratio, _of_block(i, attention), drop_rate, rate, cfgs)
            for i, rate in enumerate(drop_path_rates)
        )
        self.conv2 = Layer(2 * half, out_channels, 1, **cfgs)
        self.conv3 = Layer(out_channels, out_channels, 1, **cfgs)

    def forward(self, x: Tensor, run: Callable[[nn.Module, Tensor], Tensor]) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, ceil(H / 2), ceil(W / 2)).

        Args:
            x: The map.
            run: Applies a block to a map, see :meth:`mmattn.backbones.base.Backbone.run`.
        """
        shortcut, x = self.conv1(self.downsample(x)).chunk(2, 1)
        blocks = list(self.blocks)
        seen = run(blocks[0], x)
        for block in blocks[1:]:
            seen = seen + run(block, x)
        x = torch.cat([shortcut + self.ffn(shortcut), seen], 1)
        return self.conv3(self.conv2(x))


def _of_block(index: int, attention: dict) -> dict:
    """Give the attention of a block its config; CAA's strips are longer in each next block."""
    kind = attention['type']
    kind = MODELS.get(kind) if isinstance(kind, str) else kind
    return {'kernel_size': STRIP + 2 * index, **attention} if kind is CAA else attention


@MODELS.register_module()
class PKINet(Backbone):
    """Poly Kernel Inception Network: many depthwise kernels on one map, made for aerial images.

    Paper: `Poly Kernel Inception Network for Remote Sensing Detection
    <https://arxiv.org/abs/2403.06258>`_ (CVPR 2024). Weights of the authors' release load as they
    are; their stem stands in the files twice.

    Note:
        As in the release: the blocks of a stage are parallel, though the paper's figure reads as a
        sequence. Each sees the same half of the channels, and their outputs are added up.

    Args:
        arch: ``'t'``, ``'s'`` or ``'b'``, or a dict of ``embed_dims``, which begins with the
            channels of the stem, and of ``depths``, ``ffn_ratios`` of the blocks, and
            ``shortcut_ratios`` and ``shortcut_kernel_sizes`` of the feed-forward network on the
            other half of the channels, with one value per stage.
        in_channels: Channels of the image.
        attention: Config of the attention module in every block; ``in_channels`` is filled in. CAA
            gates the sum of the kernels by what is ahead of them, and without a ``kernel_size`` it
            has strips of ``11 + 2 * i`` pixels in block i of a stage. Any other module attends to
            the sum itself. Either way, the result is added to the sum.
        out_indices: What is returned: 0 is the map of the stem, i that of stage i.
        frozen_stages: 0 freezes the stem, n the stem and the stages 1 to n; -1 freezes none. The
            release freezes one less.
        norm_cfg: Norm layer, outside of the attention; the feed-forward networks have layer norms
            besides.
        act_cfg: Activation layer, outside of the attention.
        norm_eval: Whether batch norm layers keep their running statistics while training.
        with_cp: Whether blocks are recomputed in the backward pass, which saves memory.
        drop_rate: Dropout rate in the feed-forward networks of the blocks.
        drop_path_rate: Stochastic depth rate of the last block; it rises linearly from 0.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`; without one, the
            released initialization.

    Raises:
        ValueError: If ``arch`` is unknown or incomplete, or ``out_indices`` or ``frozen_stages``
            name a stage that does not exist.

    Shape:
        - Input: (N, in_channels, H, W) with any H, W >= 1.
        - Output: one (N, C_i, H_i, W_i) per out index, with strides 2, 4, 8, 16 and 32.

    Example:
        >>> import torch
        >>> maps = PKINet('t', out_indices=(0, 1))(torch.rand(1, 3, 32, 64))
        >>> [tuple(x.shape) for x in maps]
        [(1, 16, 16, 32), (1, 32, 8, 16)]
    """

    slot = 'caa_factor'
    layouts: ClassVar[dict[str, str]] = {
        'released PKINet': r'stages\.1\.blocks\.0\.block\.pre_conv\.conv\.weight'
    }

    def __init__(
        self,
        arch: str | dict = 's',
        *,
        in_channels: Positive = 3,
        attention: ModuleCfg = dict(type='CAA', norm_cfg=None, act_cfg=None),
        out_indices: Sequence[int] = (1, 2, 3, 4),
        frozen_stages: int = -1,
        norm_cfg: NormCfg = dict(type='BN', eps=1e-3, momentum=0.03),
        act_cfg: ActCfg = dict(type='SiLU'),
        norm_eval: bool = False,
        with_cp: bool = False,
        drop_rate: Share = 0.1,
        drop_path_rate: DropRate = 0.1,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        sizes = _sizes(arch)
        embed_dims, depths = sizes['embed_dims'], sizes['depths']
        if init_cfg is None:
            init_cfg = dict(
                type='Kaiming',
                layer='Conv2d',
                a=math.sqrt(5),
                distribution='uniform',
                mode='fan_in',
                nonlinearity='leaky_relu',
            )
        super().__init__(
            out_indices=out_indices,
            num_stages=len(embed_dims),
            norm_eval=norm_eval,
            with_cp=with_cp,
            init_cfg=init_cfg,
        )
        self.in_channels = in_channels
        self.out_channels = tuple(embed_dims[i] for i in self.out_indices)
        cfgs = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        self.stem = Stem(in_channels, embed_dims[0], cfgs)
        rates = torch.linspace(0, drop_path_rate, sum(depths), device='cpu').tolist()
        for i in range(self.out_indices[-1]):
            rest = sum(depths[:i])
            stage = PKIStage(
                embed_dims[i],
                embed_dims[i + 1],
                sizes['ffn_ratios'][i],
                sizes['shortcut_ratios'][i],
                sizes['shortcut_kernel_sizes'][i],
                attention,
                drop_rate,
                rates[rest : rest + depths[i]],
                cfgs,
            )
            self.add_module(f'stage{i + 1}', stage)
        self.freeze(frozen_stages)

    def stages(self) -> list[list[nn.Module]]:
        """List the stem and the stages."""
        names = ['stem', *(f'stage{i}' for i in range(1, self.out_indices[-1] + 1))]
        return [[getattr(self, name)] for name in names]

    def extract(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the maps of the stages in ``out_indices``."""
        maps = []
        for i, [stage] in enumerate(self.stages()):
            x = stage(x) if i == 0 else stage(x, self.run)
            if i in self.out_indices:
                maps.append(x)
        return tuple(maps)

    @staticmethod
    def own_key(key: str) -> str:
        """Turn the released key names into ours."""
        key = re.sub(r'^stages\.0\.', 'stem.', key)
        key = re.sub(r'^stages\.(\d+)\.', r'stage\1.', key)
        key = key.replace('.downsample.down_conv.', '.downsample.')
        for released, own in _OF_RELEASED_FFN.items():
            key = key.replace(f'.ffn.ffn_layers.{released}.', f'.ffn.{own}.')
        return key

    @staticmethod
    def is_optional(key: str) -> bool:
        """Tell a classifier and the stages from anything else."""
        return re.match(r'(head|fc|stage\d+)\.', key) is not None


def _sizes(arch: str | dict) -> dict[str, Sequence]:
    """Look up the sizes of stem and stages."""
    if isinstance(arch, str):
        if arch not in ARCHS:
            raise ValueError(
                f'expected arch one of {", ".join(ARCHS)} or a dict of embed_dims, depths, '
                f'{", ".join(OF_ALL)}, got {arch!r}'
            )
        return {**ARCHS[arch], **OF_ALL}
    kinds: dict[str, Any] = dict(
        embed_dims=Positive,
        depths=Annotated[int, within(1, 100)],
        ffn_ratios=Factor,
        shortcut_ratios=Factor,
        shortcut_kernel_sizes=Odd,
    )
    if set(arch) != set(kinds):
        raise ValueError(f'expected arch with the keys {", ".join(kinds)}, got {sorted(arch)}')
    for key, kind in kinds.items():
        # A type made at run time.
        values = Annotated[Sequence[kind], NOT_EMPTY]  # type: ignore[valid-type]
        check_option('PKINet', f'arch[{key!r}]', arch[key], values)
    of_stages = {len(arch[key]) for key in kinds if key != 'embed_dims'}
    if of_stages != {len(arch['embed_dims']) - 1}:
        raise ValueError(
            'expected arch with one value per stage, and one more in embed_dims for the stem, '
            f'got {arch}'
        )
    return arch
