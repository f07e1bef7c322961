"""Insertion into every neck of mmdet and mmseg."""

import pytest

from mmattn.errors import InputError
from mmattn.insertion.dry_run import dry_run
from tests.insertion.contract import check_start, check_training, convolutions
from tests.insertion.hosts import NO_NECKS, build, necks

NECKS = {name: config for name, config in necks().items() if name not in NO_NECKS}

# What the attributes of a neck do not tell.
INPUT_SHAPES = {'mmdet.SSDNeck': [(16, 20, 20), (32, 10, 10)]}


def places(name):
    """After the host and after a convolution inside, if there are any."""
    inner = convolutions(build(dict(NECKS[name])), INPUT_SHAPES.get(name))
    return {'': 'after', **{conv: 'after' for conv in inner[len(inner) // 2 :][:1]}}


@pytest.mark.parametrize('name', NECKS)
def test_output_starts_as_the_hosts_and_no_key_of_it_changes(name):
    check_start(NECKS[name], places(name), INPUT_SHAPES.get(name))


@pytest.mark.parametrize('name', NECKS)
def test_one_step_moves_what_is_inserted_in_a_frozen_host(name):
    check_training(NECKS[name], places(name), INPUT_SHAPES.get(name))


@pytest.mark.parametrize('name', NO_NECKS)
def test_an_exception_does_not_run(name):
    with pytest.raises(InputError):
        dry_run(build(dict(necks()[name])))
