"""Attention modules, backbones, fusion necks and heads as an OpenMMLab registry plugin.

``custom_imports = dict(imports=['mmattn'])`` in a config makes every class below a ``type``.
"""

from mmattn import attention, backbones, fusion, heads, insertion, necks
from mmattn.attention import *  # noqa: F403
from mmattn.backbones import *  # noqa: F403
from mmattn.datasets.loading import LoadImage, LoadSegMap
from mmattn.engine.hooks.keep_attention_training import KeepAttentionTraining
from mmattn.engine.hooks.loss_guard import NonFiniteLossGuard
from mmattn.fusion import *  # noqa: F403
from mmattn.heads import *  # noqa: F403
from mmattn.insertion import *  # noqa: F403
from mmattn.necks import *  # noqa: F403

__version__ = '0.1.0'

KINDS = {
    'attention': attention.__all__,
    'fusion': fusion.__all__,
    'backbone': backbones.__all__,
    'neck': necks.__all__,
    'head': heads.__all__,
    'insertion': insertion.__all__,
}
"""Names that a config can give as ``type`` of a model or of a part of one, by what they are."""

__all__ = [
    'KINDS',
    'KeepAttentionTraining',
    'LoadImage',
    'LoadSegMap',
    'NonFiniteLossGuard',
    'list_modules',
    *(name for names in KINDS.values() for name in names),
]


def list_modules(kind: str | None = None) -> list[str]:
    """List the names that mmattn registers.

    Args:
        kind: ``'attention'``, ``'fusion'``, ``'backbone'``, ``'neck'``, ``'head'`` or
            ``'insertion'``; None for all.

    Returns:
        The names, in alphabetical order.

    Raises:
        ValueError: If there is no such kind.

    Example:
        >>> 'CoordAtt' in list_modules('attention')
        True
    """
    if kind is None:
        return sorted((name for names in KINDS.values() for name in names), key=str.lower)
    if kind not in KINDS:
        raise ValueError(f'expected kind one of {", ".join(KINDS)}, got {kind!r}')
    return sorted(KINDS[kind], key=str.lower)
