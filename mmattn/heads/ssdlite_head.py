"""The head of SSDLite320 as published with MobileNeXt and coordinate attention."""

from collections.abc import Sequence
from typing import Annotated

from mmdet.models.dense_heads import SSDHead
from mmdet.models.dense_heads.anchor_head import AnchorHead
from mmdet.registry import MODELS
from mmengine.model import ModuleList, Sequential
from torch import Tensor, nn

from mmattn.layers.checks import (
    NOT_EMPTY,
    ActCfg,
    NormCfg,
    Positive,
    checked,
)
from mmattn.layers.conv import AnySizeConvModule


class SSDLiteHead(SSDHead):
    """Depthwise separable box and class predictors on every level, 1x1 convolutions on the last.

    Paper: `MobileNetV2: Inverted Residuals and Linear Bottlenecks
    <https://arxiv.org/abs/1801.04381>`_ (CVPR 2018).

    Anchors, predictors and losses are those of `the release
    <https://github.com/Andrew-Qibin/ssdlite-pytorch-mobilenext>`_ at 320 pixels. Levels of 20, 10,
    5, 3, 2 and 1 cells have strides 16, 32, 64, 120, 160 and 320, and in each cell two squares, of
    the smallest size and of the geometric mean of the smallest and the largest, and boxes of the
    smallest area with the ratios. With a focal loss, the recipe of COCO, each class has a sigmoid
    of its own whose prior is 0.01; without ``loss_cls`` it is the MultiBox loss of mmdet's
    ``SSDHead``, the recipe of VOC.

    Note:
        The release has one class output more on COCO, which no label ever asks for, and a bias
        ahead of each batch norm, which cancels it; both are left out, 19,490 parameters. With them
        it is 4.30 M parameters on COCO, 4.69 M with SE or CBAM and 4.75 M with coordinate
        attention, for 4.3, 4.7 and 4.8 M published. The same figures published for VOC do not fit
        its 21 outputs per anchor: that is 3.42 M, and 3.87 M with coordinate attention. Neither do
        4.4 M for MobileNeXt fit the taps of the release, 4.54 M; a tap of 384 channels would.

        The release weighs its focal loss (alpha 0.25, gamma 2) by 5. The smooth L1 loss with a beta
        of 0.11 that it defines it never calls: what it computes has beta 1. It cuts the width and
        height of an anchor at 320, which ``SSDAnchorGenerator`` cannot express: on the last two
        levels, the longest are 390 pixels here on COCO and 468 on VOC.

    Args:
        num_classes: Number of classes without the background.
        in_channels: Channels of each level.
        loss_cls: Sigmoid classification loss, such as ``dict(type='FocalLoss')``; None for softmax
            cross entropy on ``train_cfg['neg_pos_ratio']`` negatives per positive, the hardest.
        loss_bbox: Box loss that goes with ``loss_cls``; without that, it is a smooth L1 loss with
            the beta ``train_cfg['smoothl1_beta']``.
        norm_cfg: Norm layer.
        act_cfg: Activation layer.
        anchor_generator: Anchors; the default is that of COCO. VOC has ``max_sizes=[120, 180, 220,
            260, 300, 320]`` and the ratios 2 and 3 on the last level as well.
        bbox_coder: Box coder.
        train_cfg: Assigner and loss settings, as of mmdet's ``SSDHead``.
        test_cfg: Settings of the non-maximum suppression.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        MissingPackage: If mmdet is not installed.
        ValueError: If ``in_channels`` and the anchors differ in the number of levels, only one of
            the two losses is given, or ``loss_cls`` is a softmax.

    Shape:
        - Input: one (N, C_i, H_i, W_i) per level.
        - Output: per level (N, A_i * K, H_i, W_i) class logits and (N, A_i * 4, H_i, W_i) box
          deltas, with A_i anchors per cell and K classes, one more without ``loss_cls``.
    """

    @checked
    def __init__(
        self,
        num_classes: Positive = 80,
        in_channels: Annotated[Sequence[Positive], NOT_EMPTY] = (96, 1280, 512, 256, 256, 64),
        *,
        loss_cls: dict | None = None,
        loss_bbox: dict | None = None,
        norm_cfg: NormCfg = dict(type='BN'),
        act_cfg: ActCfg = dict(type='ReLU6'),
        anchor_generator: dict = dict(
            type='SSDAnchorGenerator',
            scale_major=False,
            strides=[16, 32, 64, 120, 160, 320],
            ratios=[[2, 3], [2, 3], [2, 3], [2, 3], [2, 3], [2]],
            min_sizes=[45, 90, 135, 180, 225, 270],
            max_sizes=[90, 135, 180, 225, 270, 315],
        ),
        bbox_coder: dict = dict(
            type='DeltaXYWHBBoxCoder',
            target_means=[0.0, 0.0, 0.0, 0.0],
            target_stds=[0.1, 0.1, 0.2, 0.2],
        ),
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = dict(
            type='Xavier', layer='Conv2d', distribution='uniform'
        ),
    ) -> None:
        if (loss_cls is None) != (loss_bbox is None):
            raise ValueError(
                'expected loss_cls and loss_bbox, or neither for the MultiBox loss, '
                f'got loss_cls={loss_cls} and loss_bbox={loss_bbox}'
            )
        super().__init__(
            num_classes=num_classes,
            in_channels=tuple(in_channels),
            use_depthwise=True,
            norm_cfg=norm_cfg,
            act_cfg=act_cfg,
            anchor_generator=anchor_generator,
            bbox_coder=bbox_coder,
            train_cfg=train_cfg,
            test_cfg=test_cfg,
            init_cfg=init_cfg,
        )
        if len(in_channels) != len(self.num_base_priors):
            raise ValueError(
                f'expected in_channels of {len(self.num_base_priors)} levels, as anchor_generator '
                f'has, got {len(in_channels)}'
            )
        # mmdet reads it whatever the loss.
        self.loss_cls = None
        prior = None
        if loss_cls is not None:
            self.loss_cls = MODELS.build(loss_cls)
            self.loss_bbox = MODELS.build(loss_bbox)
            if not getattr(self.loss_cls, 'use_sigmoid', False):
                raise ValueError(f'expected loss_cls with use_sigmoid=True, got {loss_cls}')
            self.use_sigmoid_cls = True
            self.cls_out_channels = num_classes
            # Many more anchors are background than not: at first, all say so.
            prior = dict(type='Normal', layer='Conv2d', std=0.01, bias_prob=0.01)
        self.cls_convs = self._predictors(self.cls_out_channels, prior)
        self.reg_convs = self._predictors(4, None)

    def _init_layers(self) -> None:
        """Build nothing yet: the loss decides on the class outputs, and is not known here."""

    def _predictors(self, outputs: int, init_cfg: dict | None) -> ModuleList:
        """Build one predictor per level, of ``outputs`` values per anchor."""
        predictors = ModuleList()
        for channels, anchors in zip(self.in_channels, self.num_base_priors, strict=True):
            layers = [nn.Conv2d(channels, anchors * outputs, 1)]
            if len(predictors) < len(self.in_channels) - 1:
                filters = AnySizeConvModule(
                    channels,
                    channels,
                    3,
                    padding=1,
                    groups=channels,
                    norm_cfg=self.norm_cfg,
                    act_cfg=self.act_cfg,
                )
                layers.insert(0, filters)
            predictors.append(Sequential(*layers, init_cfg=init_cfg))
        return predictors

    def loss_by_feat(self, *args, **kwargs) -> dict[str, list[Tensor]]:
        """Compute the losses, over all levels at once for MultiBox, else level by level."""
        host = SSDHead if self.loss_cls is None else AnchorHead
        return host.loss_by_feat(self, *args, **kwargs)

    def loss_by_feat_single(self, *args, **kwargs) -> tuple[Tensor, Tensor]:
        """Compute the losses of one image for MultiBox, else of one level."""
        host = SSDHead if self.loss_cls is None else AnchorHead
        return host.loss_by_feat_single(self, *args, **kwargs)
