"""Attention modules, backbones, fusion necks and heads as an OpenMMLab registry plugin.

``custom_imports = dict(imports=['mmattn'])`` in a config makes every class below a ``type``.
"""
# ruff: noqa: E402

from typing import Any

from mmattn.entrance import enter

# Looks whether what follows can be imported.
enter()

from mmattn import attention, backbones, fusion, heads, insertion, necks, upsampling
from mmattn.attention import *  # noqa: F403
from mmattn.attention.base import Attention
from mmattn.backbones import *  # noqa: F403
from mmattn.backbones.base import Backbone
from mmattn.datasets.camvid import CamVidDataset
from mmattn.datasets.cifar import CIFAR100Superclasses
from mmattn.datasets.coco_category import COCOCategoryDataset, LoadCategoryMap
from mmattn.datasets.loading import LoadImage, LoadSegMap
from mmattn.engine.hooks.blend_factors import BlendFactorHook
from mmattn.engine.hooks.keep_attention_training import KeepAttentionTraining
from mmattn.engine.hooks.loss_guard import NonFiniteLossGuard
from mmattn.engine.shipped_configs import config_path
from mmattn.fusion import *  # noqa: F403
from mmattn.fusion.base import Fusion
from mmattn.heads import *  # noqa: F403
from mmattn.insertion import *  # noqa: F403
from mmattn.inspection.attention_hook import AttentionVisualizationHook
from mmattn.layers.registered import registered
from mmattn.necks import *  # noqa: F403
from mmattn.upsampling import *  # noqa: F403
from mmattn.upsampling.base import Upsampling

__version__ = '0.1.0'

KINDS = {
    'attention': attention.__all__,
    'fusion': fusion.__all__,
    'upsampling': upsampling.__all__,
    'backbone': backbones.__all__,
    'neck': necks.__all__,
    'head': heads.__all__,
    'insertion': insertion.__all__,
}
"""Names that a config can give as ``type`` of a model or of a part of one, by what they are."""

_BASES = {
    'attention': Attention,
    'fusion': Fusion,
    'upsampling': Upsampling,
    'backbone': Backbone,
}

__all__ = [
    'KINDS',
    'AttentionVisualizationHook',
    'BlendFactorHook',
    'CIFAR100Superclasses',
    'COCOCategoryDataset',
    'CamVidDataset',
    'KeepAttentionTraining',
    'LoadCategoryMap',
    'LoadImage',
    'LoadSegMap',
    'NonFiniteLossGuard',
    'config_path',
    'list_modules',
    'load',
    *(name for names in KINDS.values() for name in names),
]


def list_modules(kind: str | None = None) -> list[str]:
    """List the names that mmattn registers, and those of subclasses that other packages register.

    Args:
        kind: ``'attention'``, ``'fusion'``, ``'upsampling'``, ``'backbone'``, ``'neck'``,
            ``'head'`` or ``'insertion'``; None for all.

    Returns:
        The names, in alphabetical order. Packages that were imported count: a subclass of
        :class:`mmattn.attention.base.Attention`, of :class:`mmattn.fusion.base.Fusion`, of
        :class:`mmattn.upsampling.base.Upsampling` or of
        :class:`mmattn.backbones.base.Backbone` is listed as a config names it, ``package.Name`` if
        the package has a registry of its own.

    Raises:
        ValueError: If there is no such kind.

    Example:
        >>> 'CoordAtt' in list_modules('attention')
        True
    """
    if kind not in (None, *KINDS):
        raise ValueError(f'expected kind one of {", ".join(KINDS)}, got {kind!r}')
    names = set()
    for each in KINDS if kind is None else [kind]:
        names |= {*KINDS[each], *(registered(_BASES[each]) if each in _BASES else ())}
    return sorted(names, key=str.lower)


def load(config: Any, checkpoint: Any, **options: Any) -> Any:
    """Load a trained model; see :func:`mmattn.prediction.model.load`.

    Args:
        config: Config file, ``mmattn::PATH`` for one that comes with the package, or a config.
        checkpoint: Its checkpoint: a file, or an address.
        options: ``device``, ``cfg_options`` and ``trust_checkpoint``, as there.

    Returns:
        A :class:`mmattn.prediction.model.Model`.

    Raises:
        InputError: If one of them cannot be used, or they do not belong to each other.
    """
    # What reads configs and checkpoints is not needed for a `type` in a config.
    from mmattn.prediction.model import load

    return load(config, checkpoint, **options)
