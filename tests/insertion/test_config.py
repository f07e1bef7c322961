"""Configs with inserted attention, as stock scripts read and change them."""

import copy
import pickle

import pytest
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS
from torch import nn

from mmattn import InsertAttention

HOST = dict(type='X', backbone=dict(depth=50))
KINDS = ('InsertAttention', 'mmattn.InsertAttention', InsertAttention)


@pytest.mark.parametrize('kind', KINDS, ids=['name', 'scope', 'class'])
@pytest.mark.parametrize(
    'again', [lambda c: c, copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))]
)
def test_reads_and_changes_the_host(kind, again):
    inner = dict(type=kind, host=copy.deepcopy(HOST), sites=[])
    cfg = again(Config(dict(model=dict(type=kind, host=inner, sites=[]))))
    cfg.model.backbone.depth = 18
    assert cfg.model.host.host.backbone.depth == cfg.model['backbone'].depth == 18
    # What it has itself is its own.
    assert cfg.model.type == kind
    assert set(cfg.model) == {'type', 'host', 'sites'}


@pytest.mark.parametrize(
    'cfg',
    [dict(HOST), dict(type='InsertAttention', host=HOST), dict(type='InsertAttention'), dict()],
    ids=['host', 'around', 'no host', 'empty'],
)
def test_what_is_nowhere_is_missing(cfg):
    cfg = ConfigDict(cfg)
    assert not hasattr(cfg, 'neck') and 'neck' not in cfg and cfg.get('neck') is None
    with pytest.raises(KeyError, match='neck'):
        cfg['neck']


@MODELS.register_module()
class TakesOptions(nn.Module):
    def __init__(self, own=1, other=2):
        super().__init__()
        self.options = (own, other)


@pytest.mark.parametrize(
    ('added', 'expected'),
    [({}, (3, 2)), (dict(own=None, other=None), (3, None)), (dict(own=4, other=5), (4, 5))],
    ids=['nothing', 'none', 'others'],
)
def test_none_replaces_nothing_of_the_host(added, expected):
    host = dict(type='TakesOptions', own=3)
    assert InsertAttention(host, [], **added).options == expected
