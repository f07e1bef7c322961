"""The head of DeepLabV3 at the size of the mobile networks."""

from collections.abc import Sequence
from typing import Annotated

from mmcv.cnn import ConvModule
from mmseg.models.decode_heads import ASPPHead

from mmattn.layers.checks import (
    NOT_EMPTY,
    Positive,
    Side,
    checked,
)
from mmattn.layers.conv import AnySizeConvModule


class DeepLabV3Head(ASPPHead):
    """Atrous spatial pyramid pooling with a 1x1 projection, as in the paper of DeepLabV3.

    mmseg's ``ASPPHead`` projects the concatenated branches by a 3x3 convolution, which has most of
    its parameters. With the projection of the paper and 256 channels, MobileNetV2 has 4.52 M
    parameters on the 21 classes of VOC, and 4.97 M with coordinate attention: what the table of
    coordinate attention gives. The key names are those of ``ASPPHead``.

    The image pooling trains at batch 1, where mmseg's fails: its batch norm uses the running
    statistics then.

    Paper: `Rethinking Atrous Convolution for Semantic Image Segmentation
    <https://arxiv.org/abs/1706.05587>`_ (2017).

    Args:
        in_channels: Channels of the input.
        channels: Channels of every branch and of the projection.
        dilations: Dilation of each branch; the branch of dilation 1 is a 1x1 convolution.
        **kwargs: Arguments of mmseg's ``BaseDecodeHead``, among them ``num_classes``.

    Raises:
        MissingPackage: If mmseg is not installed.

    Shape:
        - Input: a list of maps, of which ``in_index`` selects one of (N, in_channels, H, W).
        - Output: (N, num_classes, H, W).
    """

    @checked
    def __init__(
        self,
        in_channels: Positive,
        channels: Positive = 256,
        *,
        dilations: Annotated[Sequence[Side], NOT_EMPTY] = (1, 6, 12, 18),
        **kwargs,
    ) -> None:
        super().__init__(
            in_channels=in_channels, channels=channels, dilations=tuple(dilations), **kwargs
        )
        cfgs = dict(conv_cfg=self.conv_cfg, norm_cfg=self.norm_cfg, act_cfg=self.act_cfg)
        self.image_pool[1] = AnySizeConvModule(self.in_channels, channels, 1, **cfgs)
        self.bottleneck = ConvModule((len(dilations) + 1) * channels, channels, 1, **cfgs)
