"""Values as the source of a config."""

import pytest

from mmattn.datasets.own.source import Source, to_source

VALUES = [
    {},
    dict(type='Resize', scale=(2048, 512), keep_ratio=True),
    {255: 1, 3: 255},
    [(1,), [], ['a "quoted" name', "it's"], None, 1e-6],
    dict(inner=[dict(name='x' * 40, other=[1.5] * 30)] * 3, outer=tuple('abcdefgh' * 6)),
]


@pytest.mark.parametrize('value', VALUES)
def test_source_has_the_same_value_in_lines_that_fit(value):
    text = to_source(value, len('value = '))
    assert eval(text) == value
    assert all(len(line) <= 100 for line in f'value = {text}'.splitlines())


def test_source_stays_as_it_is():
    assert to_source(dict(a=Source('b + 1'), c='b + 1')) == "dict(a=b + 1, c='b + 1')"
