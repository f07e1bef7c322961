"""Attentional feature fusion."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from mmcv.cnn import build_norm_layer
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.ms_cam import Bottleneck
from mmattn.fusion.base import Fusion, add
from mmattn.layers.blend import Start
from mmattn.layers.checks import (
    NOT_EMPTY,
    Finite,
    NormCfg,
    Positive,
    within,
)
from mmattn.layers.sequential import SafeSequential, squeezed_channels
from mmattn.ops.gating import sigmoid_gated, sigmoid_mixed
from mmattn.ops.precision import in_float32, narrowed, saturate_, wide_mean, widened

Scale = Literal['local', 'global']
Strategy = Literal['aff', 'half_aff', 'concat_aff', 'ms_gau', 'ms_se', 'ms_sa']


def gate_logits(
    z: Tensor,
    local: Sequence[nn.Module],
    pooled: Sequence[nn.Module],
    post: nn.Module | None = None,
) -> list[Tensor]:
    """Give the logits of weights between 0 and 1, as parts of a sum.

    Args:
        z: Feature map of shape (N, C, H, W).
        local: Branches applied to the map.
        pooled: Branches applied to the mean of the map.
        post: Layers that mix the branches, side by side along the channels. None adds them up.

    Returns:
        Maps of shape (N, C, H, W), and (N, C, 1, 1) from the mean, in float32 at least.
    """
    parts = [branch(z) for branch in local]
    if pooled:
        mean = wide_mean(z, (2, 3), keepdim=True)  # (N, C, 1, 1)
        parts += [in_float32(branch, mean) for branch in pooled]
    if post is None:
        return parts
    if not local:
        return [in_float32(post, torch.cat(parts, dim=1))]
    # The mean at every position, in the type and memory format of the map.
    plane = torch.zeros_like(parts[0])
    for i in range(len(local), len(parts)):
        parts[i] = plane + narrowed(parts[i], plane.dtype)
    return [post(torch.cat(parts, dim=1))]


def gate(logits: Sequence[Tensor]) -> Tensor:
    """Take the sigmoid of the sum of some logits, in float32 at least."""
    return sum(map(widened, logits[1:]), widened(logits[0])).sigmoid()


@MODELS.register_module()
class AFF(Fusion):
    """Attentional feature fusion: a weighted mean of two maps, the weights chosen by their sum.

    ``z = scale * (m * x + (1 - m) * y)``, where the gate ``m`` is multi-scale channel attention of
    ``x + y``: a bottleneck on each position and one on the mean of the map, under one sigmoid. In
    a short skip connection ``x`` is the identity, in a feature pyramid the lateral map.

    Paper: `Attentional Feature Fusion <https://arxiv.org/abs/2009.14082>`_ (WACV 2021). Weights
    of the authors' release load as they are.

    Note:
        The released code doubles the result, the paper does not: weights trained with that code
        want ``scale=2.``. It also weighs the learned branch of a residual block with ``m`` and the
        identity with ``1 - m``, the other way round than the paper; the order of the arguments
        decides. With one value per channel a batch norm has nothing to train on and the released
        code fails at batch 1; here the norm uses its running statistics then.

        The other strategies are what the paper compares with; ``M`` is the gate of AFF:

        - ``'ms_gau'``: ``M(y) * x + y``, global attention upsampling. The gate sees the
          high-level map alone.
        - ``'ms_se'``: ``x + M(y) * y``, squeeze-and-excitation. The high-level map gates itself.
        - ``'ms_sa'``: ``M(x + y) * x + y``. The gate sees both maps and weighs one of them.
        - ``'half_aff'``: AFF whose branches stop in the middle, behind the ReLU. They stand side
          by side, and one 1x1 convolution with a norm expands them to the gate.
        - ``'concat_aff'``: AFF whose branches, a ReLU behind each, stand side by side, and one
          1x1 convolution with a norm reduces them to the gate.

        The formulas are those of a version of the authors' code that had them. It has the two with
        concatenation in full, and the other three with simpler gates. ``M(x + y) * x + y`` bears no
        name there: that it is the paper's MS-SA is an inference.

    Args:
        in_channels: Channels of both inputs and of the output.
        reduction: Squeeze ratio; the bottlenecks have ``in_channels // reduction`` channels.
        scale: Factor on the result.
        scales: What each branch of the gate sees, ``'local'`` or ``'global'``. Two of one kind are
            the paper's comparison.
        strategy: How the gate is made up and what it weighs: ``'aff'``, ``'half_aff'``,
            ``'concat_aff'``, ``'ms_gau'``, ``'ms_se'`` or ``'ms_sa'``.
        norm_cfg: Norm layers of the bottlenecks.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.fusion.base.Fusion`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels`` is not positive, ``reduction`` not within 1 and
            ``in_channels``, ``scales`` empty or not made of the two words, or ``strategy``
            unknown.

    Shape:
        - Inputs: two of (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> AFF(16)(torch.rand(2, 16, 7, 5), torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    def __init__(
        self,
        in_channels: int,
        *,
        reduction: Positive = 4,
        scale: Finite = 1.0,
        scales: Annotated[Sequence[Scale], NOT_EMPTY] = ('local', 'global'),
        strategy: Strategy = 'aff',
        norm_cfg: NormCfg = dict(type='BN'),
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        self.scale = scale
        self.scales = Counter(scales)
        self.strategy = strategy
        for kind in ('local', 'global'):
            for name in self._names(kind):
                layers: nn.Sequential = Bottleneck(
                    in_channels, reduction, norm_cfg, pooled=kind == 'global'
                )
                if strategy == 'half_aff':
                    layers = SafeSequential(*list(layers)[:-2])
                elif strategy == 'concat_aff':
                    layers = SafeSequential(*layers, nn.ReLU(inplace=True))
                setattr(self, name, layers)
        self.post = None
        if strategy in ('half_aff', 'concat_aff'):
            half = strategy == 'half_aff'
            width = squeezed_channels(in_channels, reduction) if half else in_channels
            self.post = SafeSequential(
                nn.Conv2d(len(scales) * width, in_channels, 1),
                build_norm_layer(norm_cfg, in_channels)[1],
            )

    def _names(self, kind: Scale) -> list[str]:
        return [suffixed(f'{kind}_att', i) for i in range(self.scales[kind])]

    def _logits(self, x: Tensor, y: Tensor) -> list[Tensor]:
        z = y if self.strategy in ('ms_gau', 'ms_se') else add(x, y)
        local = [getattr(self, name) for name in self._names('local')]
        pooled = [getattr(self, name) for name in self._names('global')]
        return gate_logits(z, local, pooled, self.post)

    def fuse(self, x: Tensor, y: Tensor) -> Tensor:
        """Weigh ``x`` against ``y``, or as the strategy says."""
        logits = self._logits(x, y)
        if self.strategy == 'ms_se':
            out = add(sigmoid_gated(y, *logits), x)
        elif self.strategy in ('ms_gau', 'ms_sa'):
            out = add(sigmoid_gated(x, *logits), y)
        else:
            out = sigmoid_mixed(x, y, *logits)
        return out if self.scale == 1 else saturate_(self.scale * out)

    def gates(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Tell ``'weight'``, or ``'factor_of_x'`` or ``'factor_of_y'`` where one map is only added.

        Of shape (N, C, H, W), or (N, C, 1, 1) without local branches.
        """
        name = {'ms_gau': 'factor_of_x', 'ms_sa': 'factor_of_x', 'ms_se': 'factor_of_y'}
        return {name.get(self.strategy, 'weight'): gate(self._logits(x, y))}


@MODELS.register_module()
class iAFF(Fusion):
    """Iterative attentional feature fusion: the gate of AFF, chosen by an already fused map.

    The first gate sees ``x + y``; the weighted mean that it gives is what the second gate sees
    instead. Both weigh the same two maps, ``m * x + (1 - m) * y``.

    Paper: `Attentional Feature Fusion <https://arxiv.org/abs/2009.14082>`_ (WACV 2021). Weights
    of the authors' release load as they are.

    Note:
        The two gates are separate, as in the paper. The public PyTorch port builds two global
        branches but uses the first one twice; ``share_global=True`` computes that, for weights
        trained with it. The branch that the port leaves unused is not built, and its weights in a
        file are passed over. Batch 1 trains, as in :class:`mmattn.fusion.aff.AFF`.

    Args:
        in_channels: Channels of both inputs and of the output.
        reduction: Squeeze ratio; the bottlenecks have ``in_channels // reduction`` channels.
        share_global: Whether all gates share one global branch.
        iterations: Number of gates.
        norm_cfg: Norm layers of the bottlenecks.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.fusion.base.Fusion`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels`` is not positive, ``iterations`` not within 1 and 100, or
            ``reduction`` not within 1 and ``in_channels``.

    Shape:
        - Inputs: two of (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> iAFF(16)(torch.rand(2, 16, 7, 5), torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    def __init__(
        self,
        in_channels: int,
        *,
        reduction: Positive = 4,
        share_global: bool = False,
        iterations: Annotated[int, within(1, 100)] = 2,
        norm_cfg: NormCfg = dict(type='BN'),
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        self.share_global = share_global
        self.iterations = iterations
        for local, pooled in self._names():
            setattr(self, local, Bottleneck(in_channels, reduction, norm_cfg, pooled=False))
            if not hasattr(self, pooled):
                setattr(self, pooled, Bottleneck(in_channels, reduction, norm_cfg, pooled=True))

    def _names(self) -> list[tuple[str, str]]:
        return [
            (suffixed('local_att', i), suffixed('global_att', 0 if self.share_global else i))
            for i in range(self.iterations)
        ]

    def fuse(self, x: Tensor, y: Tensor) -> Tensor:
        """Weigh ``x`` against ``y``, once per iteration."""
        out = add(x, y)
        for i in range(self.iterations):
            out = sigmoid_mixed(x, y, *self._logits(i, out))
        return out

    def gates(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Tell the last ``'weight'`` (N, C, H, W), and ahead of it ``'weight_1'`` and so on."""
        found, out = {}, add(x, y)
        for i in range(self.iterations):
            logits = self._logits(i, out)
            name = 'weight' if i == self.iterations - 1 else f'weight_{i + 1}'
            found[name] = gate(logits)
            out = sigmoid_mixed(x, y, *logits)
        return found

    def _logits(self, i: int, z: Tensor) -> list[Tensor]:
        local, pooled = self._names()[i]
        return gate_logits(z, [getattr(self, local)], [getattr(self, pooled)])

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        if self.share_global:
            unused = tuple(
                f'{prefix}{suffixed("global_att", i)}.' for i in range(1, self.iterations)
            )
            for key in [key for key in state_dict if key.startswith(unused)]:
                del state_dict[key]
        super()._load_from_state_dict(state_dict, prefix, *args)


def suffixed(name: str, i: int) -> str:
    """Name the branch of index ``i`` as the release does: no number, then 2, 3 and so on."""
    return name if i == 0 else f'{name}{i + 1}'
