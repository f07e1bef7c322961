"""Models whose answers are known: they see nothing but red and green, in cells of 8 x 8 pixels."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import BaseModule
from mmengine.registry import MODELS, init_default_scope
from torch import nn
from torch.nn import functional as F

from mmattn.prediction.model import Model

CLASSES = ('red', 'green', 'gray')
CELL = 8
RED = (16, 8, 40, 32)  # x1, y1, x2, y2 of the one red thing
GREEN = (56, 40, 88, 56)


def picture(*things: tuple) -> np.ndarray:
    """Draw boxes of a colour into a gray image of 64 x 96 pixels."""
    image = np.full((64, 96, 3), 90, np.uint8)
    for (x1, y1, x2, y2), color in things:
        image[y1:y2, x1:x2] = color
    return image


SCENE = picture((RED, (230, 20, 20)), (GREEN, (20, 150, 20)))


@MODELS.register_module(force=True)
class ColourBackbone(BaseModule):
    """Two channels: how much more red than green there is, and how much more green than red."""

    def __init__(self, levels: int = 1, init_cfg: Any = None) -> None:
        super().__init__(init_cfg)
        self.levels = levels
        self.conv = nn.Conv2d(3, 2, 1)
        rows = torch.tensor([[1.0, -1, 0], [-1, 1, 0]])
        self.conv.weight.data = rows[..., None, None] / 255
        self.conv.bias.data.zero_()
        self.blocks = nn.ModuleList([nn.ReLU()])

    def forward(self, x):
        x = F.avg_pool2d(self.blocks[0](self.conv(x)), CELL)
        maps = [x]
        for _ in range(1, self.levels):
            maps.append(F.avg_pool2d(maps[-1], 2, ceil_mode=True))
        return tuple(maps)


def build(model: dict, scope: str, pack: str, steps: list = (), classes: int = 2) -> Model:
    pipeline = [dict(type='LoadImageFromFile'), *steps, dict(type=pack)]
    cfg = Config(
        dict(
            model=model,
            default_scope=scope,
            test_dataloader=dict(dataset=dict(type='BaseDataset', pipeline=pipeline)),
        )
    )
    init_default_scope(scope)
    palette = ((255, 0, 0), (0, 255, 0), (128, 128, 128))
    metainfo = dict(classes=CLASSES[:classes], palette=palette[:classes])
    return Model(MODELS.build(cfg.model).eval(), cfg, metainfo)


def preprocessor(kind: str) -> dict:
    plain = dict(type=kind, mean=[0, 0, 0], std=[1, 1, 1])
    return {**plain, ('to_rgb' if kind == 'ClsDataPreprocessor' else 'bgr_to_rgb'): True}


def classifier(steps: list = (), sites: list = ()) -> Model:
    config = dict(
        type='ImageClassifier',
        data_preprocessor=preprocessor('ClsDataPreprocessor'),
        backbone=dict(type='ColourBackbone'),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=2, in_channels=2),
    )
    if sites:
        config = dict(type='InsertAttention', host=config, sites=sites)
    model = build(config, 'mmpretrain', 'PackInputs', steps)
    model.module.head.fc.weight.data = torch.tensor([[20.0, -5], [-5, 20]])
    model.module.head.fc.bias.data.zero_()
    return model


def segmentor(steps: list = ()) -> Model:
    model = build(
        dict(
            type='EncoderDecoder',
            data_preprocessor=preprocessor('SegDataPreProcessor'),
            backbone=dict(type='ColourBackbone'),
            decode_head=dict(
                type='FCNHead',
                in_channels=2,
                in_index=0,
                channels=2,
                num_convs=0,
                concat_input=False,
                num_classes=3,
            ),
            test_cfg=dict(mode='whole'),
        ),
        'mmseg',
        'PackSegInputs',
        steps,
        classes=3,
    )
    layer = model.module.decode_head.conv_seg
    layer.weight.data = torch.tensor([[20.0, -5], [-5, 20], [0, 0]])[..., None, None]
    # What is neither red nor green is gray.
    layer.bias.data = torch.tensor([-3.0, -3, 3])
    return model


ANCHORS = dict(type='AnchorGenerator', scales=[3], ratios=[1.0])


def one_stage(levels: int = 1, **test_cfg: Any) -> Model:
    """A RetinaNet of one anchor of 24 x 24 pixels a cell, whose logits are the two channels."""
    strides = [CELL * 2**i for i in range(levels)]
    model = build(
        dict(
            type='SingleStageDetector',
            data_preprocessor=preprocessor('DetDataPreprocessor'),
            backbone=dict(type='ColourBackbone', levels=levels),
            bbox_head=dict(
                type='RetinaHead',
                num_classes=2,
                in_channels=2,
                stacked_convs=0,
                feat_channels=2,
                anchor_generator=dict(**ANCHORS, strides=strides),
            ),
            test_cfg=dict(
                nms_pre=100,
                score_thr=0.05,
                nms=dict(type='nms', iou_threshold=0.1),
                max_per_img=10,
                **test_cfg,
            ),
        ),
        'mmdet',
        'PackDetInputs',
        [dict(type='Resize', scale=(96, 64), keep_ratio=True)],
    )
    head = model.module.bbox_head
    for conv in (head.retina_cls, head.retina_reg):
        conv.weight.data.zero_()
        conv.bias.data.zero_()
    # The mean over 3 x 3 cells, as large as an anchor.
    for i in range(2):
        head.retina_cls.weight.data[i, i] = 8 / 9
    head.retina_cls.bias.data.fill_(-4)
    return model


def two_stage() -> Model:
    """A Faster R-CNN whose boxes have the mean of each channel as logits."""
    box_head = dict(
        type='BBoxHead',
        with_avg_pool=True,
        roi_feat_size=3,
        in_channels=2,
        num_classes=2,
        bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
    )
    model = build(
        dict(
            type='FasterRCNN',
            train_cfg=None,
            data_preprocessor=preprocessor('DetDataPreprocessor'),
            backbone=dict(type='ColourBackbone'),
            rpn_head=dict(
                type='RPNHead',
                in_channels=2,
                feat_channels=2,
                anchor_generator=dict(**ANCHORS, strides=[CELL]),
                bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
            ),
            roi_head=dict(
                type='StandardRoIHead',
                bbox_roi_extractor=dict(
                    type='SingleRoIExtractor',
                    roi_layer=dict(type='RoIAlign', output_size=3, sampling_ratio=1),
                    out_channels=2,
                    featmap_strides=[CELL],
                ),
                bbox_head=box_head,
            ),
            test_cfg=dict(
                rpn=dict(
                    nms_pre=100,
                    max_per_img=20,
                    nms=dict(type='nms', iou_threshold=0.3),
                    min_bbox_size=0,
                ),
                rcnn=dict(score_thr=0.1, nms=dict(type='nms', iou_threshold=0.1), max_per_img=10),
            ),
        ),
        'mmdet',
        'PackDetInputs',
        [dict(type='Resize', scale=(96, 64), keep_ratio=True)],
    )
    rpn, box = model.module.rpn_head, model.module.roi_head.bbox_head
    for layer in (rpn.rpn_conv, rpn.rpn_cls, rpn.rpn_reg, box.fc_cls, box.fc_reg):
        layer.weight.data.zero_()
        layer.bias.data.zero_()
    for i in range(2):
        rpn.rpn_conv.weight.data[i, i] = 1 / 9
        rpn.rpn_cls.weight.data[0, i] = 8
        box.fc_cls.weight.data[i, i] = 8
    box.fc_cls.bias.data[2] = 3  # background
    return model


def save(model: Model, folder: Path, name: str) -> tuple[str, str]:
    """Write config and checkpoint of a model, and give their names."""
    cfg = model.cfg.copy()
    cfg.custom_imports = dict(imports=['mmattn', 'tests.inspection.colours'])
    cfg.dump(folder / f'{name}.py')
    meta = dict(dataset_meta=dict(classes=model.classes))
    torch.save(dict(state_dict=model.module.state_dict(), meta=meta), folder / f'{name}.pth')
    return str(folder / f'{name}.py'), str(folder / f'{name}.pth')
