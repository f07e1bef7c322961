"""The bases: not too deep, and none undoes another; only a config itself replaces values."""

from pathlib import Path

import pytest

from tests.configs.leaves import CONFIGS, LISTED, own

# It is no config for others, and so stands beside the page about it.
STUDY = CONFIGS.parent / 'docs' / 'study' / 'config.py'
BASES = sorted((CONFIGS / '_base_').rglob('*.py'))
each = pytest.mark.parametrize('path', BASES, ids=lambda p: f'{p.parent.name}-{p.stem}')


def settings(path: Path) -> dict:
    return {key: value for key, value in own(path).items() if key != '_base_'}


def parents(path: Path) -> list[Path]:
    bases = own(path).get('_base_', [])
    return [
        (path.parent / base).resolve() for base in ([bases] if isinstance(bases, str) else bases)
    ]


def ancestors(path: Path) -> set[Path]:
    return {a for parent in parents(path) for a in (parent, *ancestors(parent))}


def depth(path: Path) -> int:
    return 1 + max(map(depth, parents(path)), default=0)


def places(values: object, at: str = '') -> set[str]:
    """List the dotted keys of all values that are no dicts."""
    if not isinstance(values, dict):
        return {at}
    return {p for key, value in values.items() for p in places(value, f'{at}{key}.')}


@each
def test_is_at_most_the_fourth_under_a_config(path):
    assert depth(path) <= 4


@each
def test_replaces_nothing_that_another_base_sets(path):
    mine = places(settings(path))
    assert not [place for place in mine if '_delete_' in place]
    for ancestor in ancestors(path):
        for theirs in places(settings(ancestor)):
            # One of the two may be a dict where the other one is a list or None.
            replaced = [p for p in mine if p.startswith(theirs) or theirs.startswith(p)]
            assert not replaced, ancestor


def test_configs_inherit_from_bases_alone():
    for path in LISTED:
        assert all(base.startswith('../_base_/') for base in own(path)['_base_']), path


def test_every_base_is_used():
    used = {a for path in [*LISTED, STUDY] for a in ancestors(path)}
    assert set(BASES) <= used
