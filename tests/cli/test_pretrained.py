import pytest
from mmengine.config import Config

from mmattn.cli import pretrained
from mmattn.cli.pretrained import drop_pretrained, get_pretrained
from mmattn.errors import InputError

VAN = dict(type='Pretrained', checkpoint='mmattn://van_b0_in1k')


def config(**model):
    return Config(dict(model=dict(type='A', **model)))


@pytest.fixture
def asked(monkeypatch):
    """Names that were asked for; there is none of them."""
    asked = []

    def refuse(name):
        asked.append(name)
        raise InputError(f'{name} is not there')

    monkeypatch.setattr(pretrained, 'get', refuse)
    return asked


@pytest.mark.parametrize(
    'model',
    [
        dict(backbone=dict(init_cfg=VAN)),
        dict(host=dict(backbone=dict(init_cfg=[dict(type='Normal'), VAN]))),
        dict(parts=[dict(), [dict(init_cfg=VAN)]]),
        dict(init_cfg=VAN),
    ],
    ids=['backbone', 'inserted', 'in a list', 'whole'],
)
def test_what_the_model_names_is_asked_for(asked, model):
    with pytest.raises(
        InputError,
        match=r'^mmattn://van_b0_in1k is not there; or start from random values: --from-scratch$',
    ):
        get_pretrained(config(**model))
    assert asked == ['mmattn://van_b0_in1k']


def test_one_file_for_several_parts(monkeypatch):
    asked = []
    monkeypatch.setattr(pretrained, 'get', asked.append)
    get_pretrained(config(a=dict(init_cfg=VAN), b=dict(init_cfg=VAN)))
    # By the rank that downloads, and by each that reads.
    assert asked == ['mmattn://van_b0_in1k'] * 2


def test_other_weights_and_a_checkpoint_to_go_on_from_need_none(asked):
    other = dict(type='Pretrained', checkpoint='torchvision://resnet18')
    get_pretrained(config(backbone=dict(init_cfg=other), neck=dict(init_cfg=dict(type='Normal'))))
    cfg = config(backbone=dict(init_cfg=VAN))
    cfg.load_from = 'iter_2.pth'
    get_pretrained(cfg)
    assert asked == []


def test_weights_are_left_out_and_nothing_else():
    normal = dict(type='Normal', layer='Conv2d')
    cfg = config(
        backbone=dict(init_cfg=VAN, depth=2),
        neck=dict(init_cfg=normal),
        heads=[dict(init_cfg=[normal, VAN]), dict(init_cfg=[VAN])],
        pretrained='x',
        part=dict(type='TIMMBackbone', pretrained=True, init_cfg=None),
    )
    drop_pretrained(cfg.model)
    assert cfg.model.to_dict() == dict(
        type='A',
        backbone=dict(init_cfg=None, depth=2),
        neck=dict(init_cfg=normal),
        heads=[dict(init_cfg=[normal]), dict(init_cfg=None)],
        pretrained=None,
        part=dict(type='TIMMBackbone', pretrained=False, init_cfg=None),
    )
