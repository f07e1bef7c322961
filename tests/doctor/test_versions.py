"""Versions in the order that pip has them in."""

import itertools

import pytest

from mmattn.doctor.versions import is_below, is_within, sort_key

ORDERED = (
    '0.9 1.0.dev1 1.0a1 1.0b2 2.0.0rc1 2.0.0rc4 2.0 2.0.1 2.1.0rc2 2.1 2.10 4.12.0.88 5'.split()
)


@pytest.mark.parametrize(('older', 'newer'), itertools.pairwise(ORDERED))
def test_order(older, newer):
    assert is_below(older, newer) and not is_below(newer, older)
    assert sort_key(older) < sort_key(newer)


@pytest.mark.parametrize('same', ['2.1', '2.1.0', '2.1.0+cu121', 'v2.1', '2.1.0.post1'])
def test_equal(same):
    assert not is_below(same, '2.1.0') and not is_below('2.1.0', same)
    assert is_within(same, '2.1', '2.2') and not is_within(same, None, '2.1')


@pytest.mark.parametrize('unknown', [None, '', '?', 'main'])
def test_what_is_no_version_breaks_no_bound(unknown):
    assert not is_below(unknown, '99') and is_within(unknown, '1', '2')
    assert sort_key(unknown or '') < sort_key('0.1')
