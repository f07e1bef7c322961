"""What there is to put into a config."""

from mmattn import attention, backbones, fusion, heads, necks

KINDS = {
    'attention': attention.__all__,
    'fusion': fusion.__all__,
    'backbone': backbones.__all__,
    'neck': necks.__all__,
    'head': heads.__all__,
    'insertion': ['InsertAttention'],
}


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
