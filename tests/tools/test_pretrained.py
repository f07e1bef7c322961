"""Trainings whose configs name public weights, run as a user runs them, without a network."""

import re
import time

import pytest
import torch

from mmattn import VAN
from mmattn.datasets.synthetic.tiny_ade20k import make_tiny_ade20k
from tests.forked import Script
from tests.tools.test_tools import CONFIG, ENV, ROOT
from tests.weights.hosts import hosting

ARCH = dict(embed_dims=(8, 8, 16, 16), depths=(1, 1, 1, 1), mlp_ratios=(2, 2, 2, 2))
INIT_CFG = """
model['backbone']['init_cfg'] = dict(type='Pretrained', checkpoint='mmattn://van_b0_in1k')
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('pretrained')
    make_tiny_ade20k(folder / 'data', train=4, val=2)
    text = CONFIG.format(root=ROOT, data=folder / 'data') + INIT_CFG
    (folder / 'tiny.py').write_text(text)
    (folder / 'weights').mkdir()
    return folder


def run(folder, *args, tool='train.py', proxy='http://127.0.0.1:9'):
    """Run a tool, by default a training, where every address leads to a proxy or nowhere."""
    env = {key: value for key, value in ENV.items() if key.lower() != 'no_proxy'}
    env |= dict(http_proxy=proxy, https_proxy=proxy, HF_HOME=str(folder / 'hub'))
    env |= dict(TORCH_HOME=str(folder / 'torch'), MMATTN_PRETRAINED_DIR=str(folder / 'weights'))
    begin = time.monotonic()
    if tool in ('train.py', 'test.py'):
        args = (*args, '--work-dir', folder / 'run')
    process = Script(ROOT / 'tools' / tool, *args, env=env, cwd=folder)
    out, err = process.communicate()
    return process.returncode, out, err, time.monotonic() - begin


def test_one_line_before_anything_is_built(folder):
    config = ROOT / 'configs/seg/upernet_van_b2_ade20k.py'
    status, out, err, seconds = run(folder, config)
    [line] = [line for line in err.splitlines() if line.startswith('error: ')]
    assert re.fullmatch(
        rf'error: mmattn://van_b2_in1k is not in {folder}/weights or '
        rf'{folder}/torch/hub/checkpoints and cannot be downloaded '
        r'\(huggingface\.co, download\.openmmlab\.com, mmassets\.onedl\.ai, '
        r'cloud\.tsinghua\.edu\.cn: .*Connection refused\): '
        rf'put van_base_828\.pth\.tar into {folder}/weights '
        r'\(mmattn weights list van_b2_in1k has its addresses\); '
        'or start from random values: --from-scratch',
        line,
    )
    assert status == 1 and err.strip().endswith(line) and seconds < 15
    assert 'EncoderDecoder' not in out and not (folder / 'run').exists()
    # Without them, the data are what is missing next.
    status, _, err, _ = run(folder, config, '--from-scratch')
    assert status == 1 and 'error: train_dataloader.dataset.data_root ' in err


def test_begins_with_the_file_and_goes_on_without_it(folder):
    file = folder / 'weights' / 'van_tiny_754.pth.tar'
    torch.save({'state_dict': VAN(ARCH).state_dict()}, file)
    options = ['--cfg-options', 'train_cfg.max_iters=1', 'default_hooks.checkpoint.interval=1']
    status, out, err, _ = run(folder, folder / 'tiny.py', *options)
    assert status == 0, err
    count = len(VAN(ARCH).state_dict())
    line = f'pretrained mmattn://van_b0_in1k (released VAN layout): {count}/{count} host tensors'
    assert line in out
    file.unlink()
    options[1] = 'train_cfg.max_iters=2'
    status, out, err, _ = run(folder, folder / 'tiny.py', '--resume', *options)
    assert status == 0, err
    assert 'resumed epoch: 0, iter: 1' in out and 'init_cfg' not in out


def test_whoever_needs_no_weights_asks_no_host(folder):
    runs = {
        'train.py': ['--smoke'],
        'test.py': [folder / 'run' / 'iter_4.pth'],
        'complexity.py': [],
        'list_sites.py': ['--pattern', 'backbone'],
        'check_dataset.py': [],
    }
    with hosting({}) as host:
        proxy = host.url('')[:-1]
        for tool, options in runs.items():
            status, out, err, _ = run(folder, folder / 'tiny.py', *options, tool=tool, proxy=proxy)
            assert status == 0, (tool, out, err)
        assert host.connections == 0
        # As one that needs them does.
        status, _, _, _ = run(folder, folder / 'tiny.py', proxy=proxy)
        assert status == 1 and host.connections > 0
