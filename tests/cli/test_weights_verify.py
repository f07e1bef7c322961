"""Public weights, or what stands for them here, evaluated on tiny data."""

import os

import pytest
import torch

from mmattn import VAN
from mmattn.cli.conversion import whole_model
from mmattn.datasets.synthetic.tiny_imagenet import make_tiny_imagenet
from mmattn.weights.reading import weights_in
from tests.forked import run
from tests.tools.test_tools import ENV
from tests.tools.test_weights import published as as_mmpretrain


def released(backbone, layer, classes=3):
    head = {f'{layer}.weight': torch.zeros(classes, 4), f'{layer}.bias': torch.zeros(classes)}
    return {**backbone.state_dict(), **head}


@pytest.fixture
def verify(tmp_path):
    """Run the command with the files that lie in ``weights``."""
    script = tmp_path / 'mmattn.py'
    script.write_text('from mmattn.cli.main import main\nmain()\n')
    (tmp_path / 'weights').mkdir()
    env = {**ENV, 'MMATTN_PRETRAINED_DIR': str(tmp_path / 'weights')}

    def verify(*args):
        options = ['--work-dir', tmp_path / 'run', '--device', 'cpu']
        return run(script, 'weights', 'verify', *args, *options, env=env, cwd=tmp_path)

    return verify


def test_prints_measured_beside_reported(verify, tmp_path):
    make_tiny_imagenet(tmp_path / 'data', train=1, val=2)
    assert sorted(os.listdir(tmp_path / 'data/val')) == ['n02690373', 'n09835506']
    # It takes every image for an airliner, which one of the two is.
    head = {'head.weight': torch.zeros(1000, 256), 'head.bias': torch.eye(1000)[404]}
    file = tmp_path / 'weights/van_tiny_754.pth.tar'
    torch.save({'state_dict': {**VAN('b0').state_dict(), **head}}, file)
    done = verify('van_b0_in1k', '--data-root', tmp_path / 'data')
    assert done.returncode == 0, done.stderr
    line = 'accuracy/top1 of van_b0_in1k: 50.00 measured, 75.4 in README of VAN-Classification'
    assert done.stdout.splitlines()[-1] == line


def test_weights_to_begin_with_are_not_compared(verify):
    done = verify('resnet50_tv')
    assert done.returncode == 1
    assert 'error: resnet50_tv is to begin with: no config here tests it' in done.stderr
    assert 'there is one for van_b0_in1k, ' in done.stderr


@pytest.mark.parametrize('layer', ['head', 'classifier', 'classifier.1', 'fc'])
def test_a_published_classifier_becomes_a_whole_model(layer):
    backbone = VAN(dict(embed_dims=(8,) * 4, depths=(1,) * 4, mlp_ratios=(2,) * 4))
    file = released(backbone, layer)
    whole = whole_model(weights_in(file, 'file'))
    assert whole.keys() == {
        *(f'backbone.{key}' for key in backbone.state_dict()),
        'head.fc.weight',
        'head.fc.bias',
    }
    assert whole['head.fc.weight'] is file[f'{layer}.weight']


def test_a_whole_model_keeps_its_names():
    backbone = VAN(dict(embed_dims=(8,) * 4, depths=(1,) * 4, mlp_ratios=(2,) * 4))
    whole = whole_model(weights_in(as_mmpretrain(backbone), 'file'))
    names = {f'backbone.{key}' for key in backbone.state_dict()}
    assert whole.keys() == {*names, 'head.fc.weight'}
