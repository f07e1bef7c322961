"""Backbones and whole models beside their peers: predictions, training passes, whole steps."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from mmengine.model import revert_sync_batchnorm
from torch import Tensor, nn

from mmattn.attention import CoordAtt
from mmattn.backbones import VAN, AFFResNet, CoordAttMobileNetV2, MobileNeXt
from mmattn.benchmark import plain
from mmattn.benchmark.cases import Candidate, Case, Conditions, Row, copy_weights, with_peers
from mmattn.benchmark.plain import Plain
from mmattn.engine.config import load_config
from mmattn.fusion import AFF, iAFF
from mmattn.insertion.without_attention import without_attention
from mmattn.layers.packages import import_optional
from mmattn.probe.build import build
from mmattn.probe.passes import loss_of, predict

# Modules of whole networks, and what a release of such a network computes in their place.
FORMULAS: dict[type[nn.Module], plain.Formula] = {
    CoordAtt: plain.coord_att,
    AFF: plain.aff,
    iAFF: plain.iaff,
}

BACKBONE_SHAPE = (1, 3, 512, 512)
TRAINING_SHAPE = (2, 3, 256, 256)


class Pass(nn.Module):
    """A whole model in the pass that is measured.

    Args:
        model: The model.
        trains: Whether it ends in one number to go back from, or with the last layer of a head.
    """

    def __init__(self, model: nn.Module, trains: bool) -> None:
        super().__init__()
        self.model = model
        self.trains = trains

    def forward(self, images: Tensor) -> Any:
        """Run the layers of the model on images (N, 3, H, W)."""
        return loss_of(self.model, images) if self.trains else predict(self.model, images)


def with_plain_modules(model: nn.Module) -> nn.Module:
    """Give a copy of a network in which the plain formula stands for each module that has one."""
    model = copy.deepcopy(model)
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child) in FORMULAS:
                setattr(parent, name, Plain(child, FORMULAS[type(child)]))
    return model


def with_van_of_mmpretrain(model: Any) -> nn.Module:
    """Give mmpretrain's VAN for ours, or a copy of a model with it as its backbone."""
    module = import_optional('mmpretrain.models.backbones.van', 'this peer')
    is_backbone = isinstance(model, VAN)
    ours = model if is_backbone else model.backbone
    stages = [getattr(ours, f'block{i + 1}') for i in range(len(ours.out_channels))]
    widths = [blocks[0].norm1.num_features for blocks in stages]
    hidden = [blocks[0].mlp.fc1.out_channels for blocks in stages]
    arch = dict(
        embed_dims=widths,
        depths=[len(blocks) for blocks in stages],
        ffn_ratios=[inner // width for inner, width in zip(hidden, widths, strict=True)],
    )
    norm_cfg = dict(type='LN', eps=ours.norm1.eps)
    peer = module.VAN(arch, out_indices=ours.out_indices, norm_cfg=norm_cfg)
    copy_weights(ours, peer)
    if is_backbone:
        return peer
    whole = copy.deepcopy(model)
    whole.backbone = peer
    return whole


class Backbone(NamedTuple):
    """A backbone and its peer.

    Args:
        name: Name of the row.
        build: Builds ours.
        peer: Name of the peer.
        other: Gives the peer for ours.
        shape: Shape (N, 3, H, W) of the images.
    """

    name: str
    build: Callable[[], nn.Module]
    peer: str
    other: Callable[[Any], nn.Module]
    shape: tuple[int, int, int, int] = BACKBONE_SHAPE

    def case(self, conditions: Conditions) -> Case:
        """Make both, with the same weights."""
        ours = self.build()
        case = with_peers(ours, {self.peer: self.other})
        case.shapes = [conditions.shape or self.shape]
        return case

    def step(self, conditions: Conditions) -> Case:
        """Make both for whole training steps."""
        shape = conditions.shape or TRAINING_SHAPE
        case = self.case(replace(conditions, shape=shape))
        case.steps = True
        return case


BACKBONES = [
    Backbone('VAN-B0', lambda: VAN('b0'), 'mmpretrain', with_van_of_mmpretrain),
    Backbone('VAN-B2', lambda: VAN('b2'), 'mmpretrain', with_van_of_mmpretrain),
    Backbone('CoordAttMobileNetV2', CoordAttMobileNetV2, 'released', with_plain_modules),
    Backbone(
        'MobileNeXt',
        lambda: MobileNeXt(attention=dict(type='CoordAtt')),
        'released',
        with_plain_modules,
    ),
    Backbone('AFFResNet-50', AFFResNet, 'official', with_plain_modules, (1, 3, 256, 256)),
]


class Model(NamedTuple):
    """A whole model of a config.

    Args:
        config: Config of the package, without ``mmattn::``.
        peer: Name of the peer.
        other: Gives the peer for ours; None for the same model without its attention.
        shape: Shape (N, 3, H, W) of the images.
    """

    config: str
    peer: str
    other: Callable[[Any], nn.Module] | None
    shape: tuple[int, int, int, int] = (1, 3, 256, 256)

    @property
    def name(self) -> str:
        """Name of the row."""
        return self.config.partition('/')[2].removesuffix('.py')

    def case(self, conditions: Conditions) -> Case:
        """Build both."""
        cfg = load_config(f'mmattn::{self.config}')
        # Nothing is downloaded for a measurement.
        ours = revert_sync_batchnorm(build(cfg, meta=False))
        trains = conditions.mode == 'train'
        if self.other is None:
            plain_cfg = without_attention(cfg)
            assert plain_cfg is not None, f'{self.config} has no attention'
            host = revert_sync_batchnorm(build(plain_cfg, meta=False))
            candidates = [Candidate(self.peer, Pass(host, trains))]
            case = Case([*candidates, Candidate('ours', Pass(ours, trains))], compares=False)
        else:
            other = self.other
            peers = {self.peer: lambda whole: Pass(other(whole.model), trains)}
            case = with_peers(Pass(ours, trains), peers)
        case.shapes = [conditions.shape or self.shape]
        return case

    def step(self, conditions: Conditions) -> Case:
        """Build both for whole training steps."""
        case = self.case(replace(conditions, shape=conditions.shape or TRAINING_SHAPE))
        case.steps = True
        return case


MODELS = [
    Model('seg/upernet_van_b0_ade20k.py', 'mmpretrain', with_van_of_mmpretrain),
    Model('seg/upernet_van_b2_ade20k.py', 'mmpretrain', with_van_of_mmpretrain),
    Model('seg/upernet_r50-coordatt_ade20k.py', 'host', None),
    Model('det/mask_rcnn_van_b0_fpn_1x_coco.py', 'mmpretrain', with_van_of_mmpretrain),
    Model('det/retinanet_van_b0_fpn_1x_coco.py', 'mmpretrain', with_van_of_mmpretrain),
    Model('det/mask_rcnn_r50-coordatt_fpn_1x_coco.py', 'host', None),
]

ROWS = [
    *(Row('backbones', each.name, each.case) for each in BACKBONES),
    *(Row('models', each.name, each.case) for each in MODELS),
    *(Row('training', each.name, each.step) for each in BACKBONES),
    *(Row('training', each.name, each.step) for each in MODELS),
]
