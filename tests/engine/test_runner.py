import re

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.runner import CheckpointLoader
from torch import nn

from mmattn.engine.build import build_runner
from mmattn.engine.runner import Runner
from mmattn.errors import InputError


@MODELS.register_module()
class ToyForRunnerTest(BaseModel):
    def __init__(self, width=4, classes=2, init_cfg=None):
        super().__init__(init_cfg=init_cfg)
        self.body = nn.Linear(3, width)
        self.head = nn.Linear(width, classes)

    def forward(self, x, mode='tensor'):
        out = self.head(self.body(torch.stack(x)))
        return {'loss': out.square().mean()} if mode == 'loss' else out


def config(work_dir, iterations=2, **model):
    return Config(
        dict(
            model=dict(type='ToyForRunnerTest', **model),
            work_dir=str(work_dir),
            train_dataloader=dict(
                dataset=[dict(x=torch.rand(3)) for _ in range(4)],
                batch_size=2,
                num_workers=0,
                sampler=dict(type='InfiniteSampler', shuffle=True),
            ),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
            train_cfg=dict(type='IterBasedTrainLoop', max_iters=iterations),
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2)),
            log_level='ERROR',
        )
    )


@pytest.fixture
def trained(tmp_path):
    runner = Runner.from_cfg(config(tmp_path))
    runner.train()
    return runner


@pytest.mark.parametrize('resume', [True, False])
def test_a_checkpoint_to_begin_with_needs_no_public_weights(tmp_path, trained, resume):
    cfg = config(tmp_path, iterations=4)
    pretrained = dict(type='Pretrained', checkpoint='mmattn://there_is_none')
    cfg.model.init_cfg = [dict(type='Constant', val=0, layer='Conv2d'), pretrained]
    cfg.resume, cfg.load_from = resume, str(tmp_path / 'iter_2.pth')
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == 4
    # What the checkpoint keeps of the config is the config.
    assert runner.cfg.model.init_cfg[1] == pretrained


def files(folder):
    return sorted(path.name for path in folder.glob('*.pth*'))


def test_is_the_default_runner(tmp_path):
    assert type(build_runner(config(tmp_path))) is Runner


def test_saves_whole_checkpoints(trained, tmp_path):
    assert files(tmp_path) == ['iter_2.pth']
    checkpoint = torch.load(tmp_path / 'iter_2.pth', weights_only=False)
    assert torch.equal(checkpoint['state_dict']['body.weight'], trained.model.body.weight)


def test_a_failed_save_leaves_the_old_file(trained, tmp_path, monkeypatch):
    before = (tmp_path / 'iter_2.pth').read_bytes()

    def full_disk(checkpoint, file):
        file.write(b'half a checkpoint')
        raise OSError(28, 'No space left on device')

    with monkeypatch.context() as patch:
        patch.setattr(torch, 'save', full_disk)
        with pytest.raises(InputError, match='No space left'):
            trained.save_checkpoint(str(tmp_path), 'iter_2.pth')
    assert (tmp_path / 'iter_2.pth').read_bytes() == before
    assert files(tmp_path) == ['iter_2.pth']


def test_a_killed_save_leaves_no_file_of_that_name(trained, tmp_path, monkeypatch):
    """What another process sees while the bytes are being written."""
    seen = []
    put = 'mmengine.fileio.backends.LocalBackend.put'

    def spy(self, content, path):
        with open(path, 'wb') as file:
            file.write(content[:100])
            seen.extend(files(tmp_path))
            file.write(content[100:])

    monkeypatch.setattr(put, spy)
    trained.save_checkpoint(str(tmp_path), 'iter_3.pth')
    assert seen[0] == 'iter_2.pth'
    assert re.fullmatch(r'iter_3\.pth\.\w{8}\.partial', seen[1])
    assert files(tmp_path) == ['iter_2.pth', 'iter_3.pth']


def resumed(tmp_path, **model):
    cfg = config(tmp_path / 'next', iterations=4, **model)
    cfg.resume, cfg.load_from = True, str(tmp_path / 'iter_2.pth')
    return Runner.from_cfg(cfg)


def test_resumes(trained, tmp_path):
    runner = resumed(tmp_path)
    runner.train()
    assert runner.iter == 4
    assert files(tmp_path / 'next') == ['iter_4.pth']


@pytest.mark.parametrize('model', [dict(width=5), dict(classes=3)], ids=['body', 'head'])
def test_does_not_resume_another_architecture(trained, tmp_path, model):
    with pytest.raises(InputError, match=r'iter_2\.pth is of another architecture than this Toy'):
        resumed(tmp_path, **model).train()


def fine_tuned(tmp_path, **model):
    cfg = config(tmp_path / 'next', **model)
    cfg.load_from = str(tmp_path / 'iter_2.pth')
    return Runner.from_cfg(cfg)


def test_fine_tuning_may_have_another_head(trained, tmp_path):
    runner = fine_tuned(tmp_path, classes=3)
    runner.load_or_resume()
    assert torch.equal(runner.model.body.weight, trained.model.body.weight)
    with pytest.raises(InputError, match=r'body\.weight: shape'):
        fine_tuned(tmp_path, width=5).load_or_resume()


def test_testing_is_strict(trained, tmp_path):
    runner = Runner.from_cfg(config(tmp_path / 'next', classes=3))
    with pytest.raises(InputError, match=r'head\.weight: shape'):
        runner.load_checkpoint(str(tmp_path / 'iter_2.pth'), strict=True)


def test_revised_keys(trained, tmp_path):
    checkpoint = CheckpointLoader.load_checkpoint(str(tmp_path / 'iter_2.pth'))
    state_dict = {f'old.{key}': value for key, value in checkpoint['state_dict'].items()}
    torch.save({'state_dict': state_dict}, tmp_path / 'renamed.pth')
    runner = Runner.from_cfg(config(tmp_path / 'next'))
    runner.load_checkpoint(str(tmp_path / 'renamed.pth'), revise_keys=[(r'^old\.', '')])
    assert torch.equal(runner.model.body.weight, trained.model.body.weight)


def test_layers_that_a_constructor_does_not_know(tmp_path):
    @OPTIM_WRAPPER_CONSTRUCTORS.register_module(force=True)
    class ByLayer(DefaultOptimWrapperConstructor):
        def add_params(self, params, module, **kwargs):
            raise NotImplementedError

    cfg = config(tmp_path)
    cfg.optim_wrapper.update(constructor='ByLayer', paramwise_cfg=dict(decay_rate=0.9))
    with pytest.raises(InputError) as raised:
        Runner.from_cfg(cfg).train()
    assert str(raised.value) == (
        "optim_wrapper.constructor='ByLayer' does not know the layers of ToyForRunnerTest; leave "
        'it and the paramwise_cfg that is for it out'
    )
