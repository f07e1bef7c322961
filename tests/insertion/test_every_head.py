"""Insertion into the heads of the shipped configs."""

import pytest

from tests.insertion.contract import check
from tests.insertion.hosts import NO_HEADS, build, heads

HEADS = {name: config for name, config in heads().items() if name not in NO_HEADS}

# Heads that return vectors, or masks of queries: attention acts on their input.
ACTS_BEFORE = ('ConvFCBBoxHead', 'Mask2FormerHead', 'Shared2FCBBoxHead')

# What the attributes of a head do not tell.
INPUT_SHAPES = {'Mask2FormerHead': [(64, 64, 80), (128, 32, 40), (320, 16, 20), (512, 8, 10)]}


@pytest.mark.parametrize('name', HEADS)
def test_starts_as_the_host_and_trains(name):
    check(HEADS[name], 'before' if name in ACTS_BEFORE else 'after', INPUT_SHAPES.get(name))


@pytest.mark.parametrize('name', NO_HEADS)
def test_an_exception_has_nothing_inside(name):
    assert not list(build(heads()[name]).parameters())
