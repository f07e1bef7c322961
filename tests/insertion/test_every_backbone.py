"""Insertion into every backbone of mmdet, mmseg, mmpretrain and a sample of timm's."""

import pytest
import torch

from mmattn.errors import InputError
from mmattn.insertion import InsertAttention
from mmattn.probe.dry_run import dry_run
from tests.insertion.contract import COORD_ATT, check
from tests.insertion.hosts import NO_BACKBONES, backbones, build, freezing

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

# Backbones that return one map in evaluation and several in training.
OTHER_MAPS_IN_TRAINING = ('mmseg.DDRNet', 'mmseg.PIDNet')

# What the attributes of a backbone do not tell.
INPUT_SHAPES = {'mmpretrain.InceptionV3': (3, 299, 299)}


def slow(names):
    """Most are of mmpretrain and timm; these are left to make test-all."""
    packages = ('mmpretrain.', 'timm.')
    return [pytest.param(n, marks=pytest.mark.slow) if n.startswith(packages) else n for n in names]


@pytest.mark.parametrize('name', slow(BACKBONES))
def test_starts_as_the_host_and_trains_where_it_is_frozen(name):
    whole = None if name in NO_MAPS or name in OTHER_MAPS_IN_TRAINING else 'after'
    config = BACKBONES[name]
    check(config | freezing(name, config), whole, INPUT_SHAPES.get(name))


@pytest.mark.parametrize('name', NO_MAPS)
def test_a_backbone_without_maps_is_an_error_that_names_sites_inside(name):
    with pytest.raises(InputError, match=r"site after='': what 'the host' returns.*nearest"):
        InsertAttention(build(BACKBONES[name]), [dict(after='', attention=COORD_ATT)])


@pytest.mark.parametrize('name', OTHER_MAPS_IN_TRAINING)
def test_a_backbone_that_returns_more_in_training_is_an_error_that_says_so(name):
    site = dict(after='', attention=COORD_ATT)
    model = InsertAttention(build(BACKBONES[name]), [site])
    model.train()
    with pytest.raises(InputError, match='a map, got tuple; insert it at modules inside'):
        model(torch.rand(2, 3, 128, 128))


@pytest.mark.parametrize('name', NO_BACKBONES)
def test_an_exception_does_not_build_or_run(name):
    with pytest.raises((InputError, TypeError)):
        dry_run(build(backbones()[name]))
