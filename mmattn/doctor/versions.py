"""Versions compared, without packages that may not be there."""

import re

_VERSION = re.compile(r'v?(\d+(?:\.\d+)*)(?:[-_.]?(dev|a|b|c|rc|alpha|beta|pre)[-_.]?(\d*))?')
_STAGES = {'dev': -4, 'a': -3, 'alpha': -3, 'b': -2, 'beta': -2}


def is_below(version: str | None, bound: str) -> bool:
    """Tell whether a version is known to be older than another one.

    Args:
        version: ``'2.1.0rc2+cpu'``; what lies behind ``+`` does not count. None, and what is no
            version, are not known to be older than anything.
        bound: The other one.
    """
    left, right = _key(version or ''), _key(bound)
    return left is not None and right is not None and left < right


def is_within(version: str | None, oldest: str | None, bound: str | None) -> bool:
    """Tell whether a version may be ``oldest`` or newer, and below ``bound``; None is no bound."""
    too_old = oldest is not None and is_below(version, oldest)
    too_new = bound is not None and _key(version or '') is not None and not is_below(version, bound)
    return not too_old and not too_new


def sort_key(version: str) -> tuple:
    """Give what versions are sorted by, the unreadable ones first."""
    return _key(version) or ((), 0, 0)


def _key(version: str) -> tuple[tuple[int, ...], int, int] | None:
    match = _VERSION.match(version.strip().lower())
    if match is None:
        return None
    numbers, stage, count = match.groups()
    release = [int(number) for number in numbers.split('.')]
    while release and release[-1] == 0:
        release.pop()
    return tuple(release), _STAGES.get(stage, -1) if stage else 0, int(count or 0)
