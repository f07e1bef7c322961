"""Rows by their names."""

import pytest

from mmattn.benchmark.rows import GROUPS, ROWS, find_rows
from mmattn.errors import InputError


def names(*words):
    return [f'{row.group}/{row.name}' for row in find_rows(words)]


def test_groups():
    assert GROUPS == ['modules', 'backbones', 'models', 'training', 'data']
    assert find_rows(GROUPS) == ROWS


@pytest.mark.parametrize(
    ('words', 'found'),
    [
        (['cbam'], ['modules/CBAM']),
        (['VAN-B0'], ['backbones/VAN-B0', 'training/VAN-B0']),
        (['backbones/van-*'], ['backbones/VAN-B0', 'backbones/VAN-B2']),
        # Each once, in the order of the table.
        (['SE', 'CBAM', 'modules/se'], ['modules/CBAM', 'modules/SE']),
    ],
)
def test_names(words, found):
    assert names(*words) == found


@pytest.mark.parametrize(
    ('word', 'hint'), [('CoordAt', "did you mean 'CoordAtt'"), ('moduls', "'modules'"), ('?', '')]
)
def test_no_such_row(word, hint):
    with pytest.raises(InputError, match='is no row of the benchmark') as error:
        find_rows([word])
    assert hint in str(error.value)
    assert '\n' not in str(error.value)
