"""Weights that are loaded for a test reach the average of EMAHook as well."""

from functools import partial

import pytest
import torch
from mmengine.model import BaseTTAModel
from mmengine.registry import MODELS

from mmattn.engine.runner import Runner
from tests.engine.toy import ToyModel, toy_config, whole_state


@MODELS.register_module()
class ToyTTA(BaseTTAModel):
    def merge_preds(self, data_samples_list):
        raise RuntimeError('only built')


def weights():
    torch.manual_seed(1)
    return ToyModel().state_dict()


def forms():
    state = weights()
    other = {key: value + 1 for key, value in state.items()}
    average = {f'module.{key}': value for key, value in other.items()} | {'steps': torch.tensor(1)}
    return {
        'ours': {'state_dict': state, 'ema_state_dict': average, 'meta': {}},
        'no average': {'state_dict': state},
        'bare': state,
        'model': {'model': {f'module.{key}': value for key, value in state.items()}},
        'other names': {f'old.{key}': value for key, value in state.items()},
    }


@pytest.mark.parametrize('augmented', [False, True], ids=['plain', 'augmented'])
@pytest.mark.parametrize('form', forms())
def test_average_begins_with_the_loaded_weights(tmp_path, form, augmented):
    torch.save(forms()[form], tmp_path / 'weights.pth')
    cfg = toy_config(tmp_path / 'run', load_from=str(tmp_path / 'weights.pth'))
    if augmented:
        cfg.model = dict(type='ToyTTA', module=cfg.model)
    runner = Runner.from_cfg(cfg)
    runner.load_checkpoint = partial(
        runner.load_checkpoint, strict=True, revise_keys=[(r'^old\.', '')]
    )
    runner.call_hook('before_run')
    runner.load_or_resume()
    state = whole_state(runner)
    prefix = 'module.' if augmented else ''
    for key, value in weights().items():
        torch.testing.assert_close(state[f'{prefix}{key}'], value)
        torch.testing.assert_close(state[f'ema.module.{prefix}{key}'], value)
