"""What is left of a config without its attention."""

import copy

import pytest
from mmengine.config import Config

import mmattn  # noqa: F401  # registers what the configs name
from mmattn.insertion.without_attention import without_attention

NET = dict(type='CoordAttMobileNetV2')
CONV = dict(cfg=dict(type='ConvModule'), position='after_conv1')
HOST = dict(type='SEResNet', depth=50, plugins=[CONV])


def site(name):
    return dict(after=name, attention=dict(type='SE'))


@pytest.mark.parametrize(
    ('model', 'plain'),
    [
        (dict(type='InsertAttention', host=HOST, sites=[site('a')]), HOST),
        (
            dict(backbone=dict(type='InsertAttention', host=dict(HOST), sites=[], depth=101)),
            dict(backbone={**HOST, 'depth': 101}),
        ),
        # Around each other.
        (
            dict(
                type='InsertAttention',
                sites=[],
                host=dict(type='InsertAttention', host=HOST, sites=[]),
            ),
            HOST,
        ),
        # By default, too.
        (dict(backbone=NET), dict(backbone={**NET, 'attention': None})),
        (
            dict(type='MobileNeXt', attention=dict(type='CoordAtt')),
            dict(type='MobileNeXt', attention=None),
        ),
        (
            dict(neck=dict(type='AFFFPN', fusion=dict(type='iAFF', reduction=4))),
            dict(neck=dict(type='AFFFPN', fusion=dict(type='AddFusion'))),
        ),
        (
            dict(
                type='ResNet',
                plugins=[
                    dict(cfg=dict(type='ECA'), position='after_conv3'),
                    CONV,
                    dict(cfg=dict(type='ContextBlock', ratio=1), position='after_conv3'),
                ],
            ),
            dict(type='ResNet', plugins=[CONV]),
        ),
    ],
    ids=['insert', 'options', 'twice', 'default', 'slot', 'fusion', 'plugins'],
)
def test_takes_out(model, plain):
    cfg = Config(dict(model=model, other=1))
    before = copy.deepcopy(cfg)
    assert without_attention(cfg).model == plain
    assert without_attention(cfg).other == 1
    assert cfg.model == before.model


@pytest.mark.parametrize(
    'model',
    [
        dict(type='VAN', arch='b0'),
        dict(type='MobileNeXt'),
        dict(type='CoordAttMobileNetV2', attention=None),
        dict(type='ResNet', plugins=[CONV]),
    ],
    ids=lambda model: model['type'],
)
def test_nothing_to_take_out(model):
    assert without_attention(Config(dict(model=model))) is None
