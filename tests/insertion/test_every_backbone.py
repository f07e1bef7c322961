"""Insertion into every backbone of mmdet, mmseg, mmpretrain and a sample of timm's."""

import pytest

from mmattn.errors import InputError
from mmattn.insertion import InsertAttention
from mmattn.insertion.dry_run import dry_run
from tests.insertion.contract import COORD_ATT, check_start, check_training, convolutions, is_frozen
from tests.insertion.hosts import NO_BACKBONES, backbones, build

BACKBONES = {name: cfg for name, cfg in backbones().items() if name not in NO_BACKBONES}

# Backbones whose output is no map, and what it is.
NO_MAPS = {
    'mmpretrain.Conformer': 'a vector of the convolutions and one of the tokens',
    'mmpretrain.InceptionV3': 'the logits of ImageNet',
    'mmpretrain.MixMIMTransformer': 'the mean of the tokens',
    'mmpretrain.MlpMixer': 'channels and tokens, in this order',
    'mmpretrain.TNT': 'the class token',
    'mmpretrain.XCiT': 'the class token',
}


def places(name, config, frozen=False):
    """After the host, if it gives maps, and after a convolution inside, if there are any."""
    host = build(dict(config))
    inner = convolutions(host)
    middle = inner[len(inner) // 2 :][:1]
    if frozen:
        middle = [conv for conv in inner if is_frozen(host, conv)][:1] or middle
    return {**{conv: 'after' for conv in middle}, **({} if name in NO_MAPS else {'': 'after'})}


@pytest.mark.parametrize('name', BACKBONES)
def test_output_starts_as_the_hosts_and_no_key_of_it_changes(name):
    check_start(BACKBONES[name], places(name, BACKBONES[name]))


@pytest.mark.parametrize('name', BACKBONES)
def test_one_step_moves_what_is_inserted_in_a_frozen_host(name):
    check_training(BACKBONES[name], places(name, BACKBONES[name], frozen=True))


@pytest.mark.parametrize('name', NO_MAPS)
def test_a_backbone_without_maps_is_an_error_that_names_sites_inside(name):
    host = build(dict(BACKBONES[name]))
    with pytest.raises(InputError, match=r"site after='': what 'the host' returns.*nearest"):
        InsertAttention(host, [dict(after='', attention=COORD_ATT)])


@pytest.mark.parametrize('name', NO_BACKBONES)
def test_an_exception_does_not_run(name):
    with pytest.raises((InputError, TypeError)):
        dry_run(build(dict(backbones()[name])))
