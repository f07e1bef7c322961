"""The two fusions that need no attention: addition and concatenation."""

from mmcv.cnn import build_activation_layer, build_norm_layer
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.fusion.base import Fusion, add
from mmattn.layers.blend import Start
from mmattn.layers.checks import ActCfg, NormCfg
from mmattn.ops.joined import joined
from mmattn.ops.precision import on_map


@MODELS.register_module()
class AddFusion(Fusion):
    """Addition: ``x + y``, what most networks do, as a fusion that a config can name.

    Paper: `Deep Residual Learning for Image Recognition <https://arxiv.org/abs/1512.03385>`_
    (CVPR 2016), whose shortcuts add.

    It has no parameters and no gates, and is the same under both starts. What overflows float16
    becomes its largest value instead of infinity.

    Args:
        in_channels: Channels of both inputs and of the output.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.fusion.base.Fusion`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels`` is not positive.

    Shape:
        - Inputs: two of (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> AddFusion(16)(torch.rand(2, 16, 7, 5), torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    def __init__(
        self,
        in_channels: int,
        *,
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        # Blending a sum with itself would train a factor that changes nothing.
        self.blend = None

    def fuse(self, x: Tensor, y: Tensor) -> Tensor:
        """Add ``x`` and ``y``."""
        return add(x, y)


@MODELS.register_module()
class ConcatFusion(Fusion):
    """Concatenation: both maps side by side, and a 1x1 convolution back to their width.

    The convolution sees the channels of ``x`` first, then those of ``y``; norm and activation
    follow where they are given. Without a norm the convolution has a bias. A
    batch norm that trains on one value per channel uses its running statistics. A convolution
    weighs every pixel alike, so there are no gates.

    Args:
        in_channels: Channels of both inputs and of the output.
        norm_cfg: Norm layer behind the convolution, or None.
        act_cfg: Activation behind that, or None.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.fusion.base.Fusion`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels`` is not positive.

    Shape:
        - Inputs: two of (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> ConcatFusion(16)(torch.rand(2, 16, 7, 5), torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    def __init__(
        self,
        in_channels: int,
        *,
        norm_cfg: NormCfg | None = None,
        act_cfg: ActCfg | None = None,
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        self.conv = nn.Conv2d(2 * in_channels, in_channels, 1, bias=norm_cfg is None)
        self.norm = (
            nn.Identity() if norm_cfg is None else build_norm_layer(norm_cfg, in_channels)[1]
        )
        self.act = nn.Identity() if act_cfg is None else build_activation_layer(act_cfg)

    def fuse(self, x: Tensor, y: Tensor) -> Tensor:
        """Mix the channels of ``x`` and ``y``."""
        return self.act(on_map(self.norm, joined(self.conv, x, y)))
