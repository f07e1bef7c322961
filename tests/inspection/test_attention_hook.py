import random
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from mmengine.visualization import Visualizer

from mmattn import AttentionVisualizationHook
from mmattn.errors import InputError
from mmattn.inspection import attention_hook
from tests.engine.conftest import names_of_their_own, unformatted_configs  # noqa: F401
from tests.inspection.toy import config

HOOK = dict(type='AttentionVisualizationHook')


@pytest.fixture
def added(monkeypatch):
    """What goes into the visualizer: name, picture and step."""
    added = []
    monkeypatch.setattr(
        Visualizer,
        'add_image',
        lambda self, name, image, step=0: added.append((name, image, step)),
    )
    return added


def train(folder, *hooks):
    runner = Runner.from_cfg(config(folder, hooks))
    runner.train()
    return runner


@pytest.fixture
def undrawn(monkeypatch):
    """Draw nothing, which takes time, and give what would be drawn."""
    seen = []
    monkeypatch.setattr(
        'mmattn.inspection.pictures.pages',
        lambda rows, title: seen.append((title, [*rows])) or (),
    )
    return seen


def test_draws_the_first_images_of_a_validation(tmp_path, added):
    train(tmp_path, dict(HOOK, images=3, interval=3, site='cbam'))
    expected = ['attention_0_1', 'attention_1_1', 'attention_2_1', 'attention_blend']
    assert [(name, step) for name, _, step in added] == [(name, 2) for name in expected]
    for _, image, _ in added:
        assert (image.dtype, image.ndim, image.shape[2]) == (np.uint8, 3, 3)
        assert image.std() > 10


@pytest.mark.parametrize(('interval', 'steps'), [(1, [2, 4, 6]), (2, [2, 6])])
def test_draws_every_so_many_validations(tmp_path, added, undrawn, interval, steps):
    train(tmp_path, dict(HOOK, images=3, interval=interval))
    assert [title for title, _ in undrawn] == ['0.jpg', '1.jpg', '2.jpg'] * len(steps)
    assert [(name, step) for name, _, step in added] == [('attention_blend', s) for s in steps]


def test_draws_the_sites_of_a_pattern_and_no_image_on_the_page_of_another_one(
    tmp_path, added, undrawn
):
    train(tmp_path, dict(HOOK, site='c.*'))
    for i, (_, rows) in enumerate(undrawn[:2]):
        assert [(each.site, each.index) for each in rows] == [('coord', i), ('cbam', i)]


def test_the_first_process_alone_draws(tmp_path, added, undrawn, monkeypatch):
    monkeypatch.setattr(attention_hook, 'is_main_process', lambda: False)
    train(tmp_path, HOOK)
    assert added == undrawn == []


def test_the_training_is_the_same_bit_for_bit(tmp_path, added):
    states = []
    for hooks in ((), (dict(HOOK, images=1, interval=2),)):
        runner = train(tmp_path / str(len(hooks)), *hooks)
        numbers = torch.get_rng_state(), torch.tensor(np.random.get_state()[1].astype(np.int64))
        python = torch.tensor(random.getstate()[1])
        states.append(
            {
                **runner.model.state_dict(),
                **{f'random.{i}': x for i, x in enumerate((*numbers, python))},
                'mode': torch.tensor([module.training for module in runner.model.modules()]),
            }
        )
        for module in runner.model.modules():
            assert not module._forward_hooks
            assert not module._forward_pre_hooks
    assert added != []
    plain, hooked = states
    assert plain.keys() == hooked.keys()
    assert [key for key in plain if not torch.equal(plain[key], hooked[key])] == []
    # It has trained at all.
    assert plain['coord.blend'] != 0.25


def test_writes_where_the_backends_of_the_visualizer_do(tmp_path):
    train(tmp_path, dict(HOOK, images=1, interval=3, site='coord'))
    found = sorted(path.name for path in Path(tmp_path).rglob('vis_image/*.png'))
    assert found == ['attention_0_1_2.png', 'attention_blend_2.png']


def test_a_model_without_attention_is_said_before_the_training(tmp_path):
    cfg = config(tmp_path, [dict(HOOK, site='nothing')])
    with pytest.raises(InputError, match="--site 'nothing' matches no"):
        Runner.from_cfg(cfg).train()


def test_refuses_a_sharded_model(tmp_path):
    runner = Runner.from_cfg(config(tmp_path, [HOOK]))
    # What the parameters of a sharded model have.
    runner.model.coord.blend.to_local = lambda: None
    with pytest.raises(InputError, match='cannot look into a sharded model; leave it out'):
        runner.train()


def test_says_so_when_nothing_could_be_watched(tmp_path, added, monkeypatch):
    told = []
    runner = Runner.from_cfg(config(tmp_path, [dict(HOOK, site='coord')]))
    monkeypatch.setattr(runner.logger, 'warning', told.append)
    monkeypatch.setattr(runner.model.coord, 'forward', lambda x: x)
    for name in ('_call_impl', '__call__'):
        monkeypatch.setattr(type(runner.model.coord), name, lambda self, x: x, raising=False)
    runner.train()
    assert len(told) == 3
    assert all('has seen no attention at work' in line for line in told)


@pytest.mark.parametrize('options', [dict(images=0), dict(interval='2'), dict(images=1.5)])
def test_refuses_options(options):
    with pytest.raises(InputError, match='expected (images|interval) of 1 or more, got'):
        AttentionVisualizationHook(**options)


def test_a_hostile_name_is_the_name_of_a_file():
    assert attention_hook._plain('../a b\n.jpg') == 'a_b_'
