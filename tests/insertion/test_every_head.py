"""Insertion into the heads of the shipped configs."""

import pytest

from mmattn.insertion.dry_run import dry_run
from tests.insertion.contract import check_start, check_training, convolutions, tensors_in
from tests.insertion.hosts import NO_HEADS, build, heads

HEADS = {name: config for name, config in heads().items() if name not in NO_HEADS}

# What the attributes of a head do not tell.
INPUT_SHAPES = {'Mask2FormerHead': [(64, 64, 80), (128, 32, 40), (320, 16, 20), (512, 8, 10)]}


def places(name):
    """On the output of the host, or else its input, and after a convolution, if there are any."""
    host = build(dict(HEADS[name]))
    shape = INPUT_SHAPES.get(name)
    inner = convolutions(host, shape)
    only_maps = all(x.dim() == 4 for x in tensors_in(dry_run(host, shape).records[''].output))
    side = 'after' if only_maps else 'before'
    return {'': side, **{conv: 'after' for conv in inner[len(inner) // 2 :][:1]}}


@pytest.mark.parametrize('name', HEADS)
def test_output_starts_as_the_hosts_and_no_key_of_it_changes(name):
    check_start(HEADS[name], places(name), INPUT_SHAPES.get(name))


@pytest.mark.parametrize('name', HEADS)
def test_one_step_moves_what_is_inserted_in_a_frozen_host(name):
    check_training(HEADS[name], places(name), INPUT_SHAPES.get(name))


@pytest.mark.parametrize('name', NO_HEADS)
def test_an_exception_has_nothing_inside(name):
    assert not list(build(dict(heads()[name])).parameters())
