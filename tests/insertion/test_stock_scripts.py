"""The scripts that mmdet, mmseg and mmpretrain come with know nothing of mmattn."""

import importlib.util
import os
import re
import runpy
from pathlib import Path

import pytest
import torch
from matplotlib import __version_info__ as matplotlib_version

from mmattn.cli import smoke
from mmattn.engine.config import load_config
from mmattn.insertion.inserted_attention import is_inserted
from tests import forked

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
MODELS = {
    'mmdet': 'det/retinanet_van_b0_fpn_1x_coco.py',
    'mmseg': 'seg/fpn_van_b0_ade20k.py',
    'mmpretrain': 'cls/mobilenetv2_in1k.py',
}


@pytest.mark.parametrize('package', MODELS)
def test_stock_train_script_trains_what_a_config_inserts(package, tmp_path):
    spec = importlib.util.find_spec(package)
    if spec is None:
        pytest.skip(f'{package} is not installed')
    cfg = load_config(str(CONFIGS / MODELS[package]))
    smoke.shrink(cfg, str(tmp_path / 'data'))
    cfg.model.backbone = dict(
        type='InsertAttention',
        host=cfg.model.backbone,
        sites=[dict(after='', levels=[-1], attention=dict(type='CoordAtt'))],
    )
    cfg.dump(tmp_path / 'config.py')
    script = Path(spec.origin).parent / '.mim' / 'tools' / 'train.py'
    env = {**os.environ, 'CUDA_VISIBLE_DEVICES': ''}
    done = forked.run(
        script, tmp_path / 'config.py', '--work-dir', tmp_path / 'work', env=env, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-2000:]
    [checkpoint] = (tmp_path / 'work').glob('*_[0-9]*.pth')
    weights = torch.load(checkpoint, weights_only=False)['state_dict']
    blends = [v for k, v in weights.items() if is_inserted(k) and k.endswith('.blend')]
    assert blends and all(blend.item() != 0 for blend in blends)


@pytest.fixture(params=MODELS)
def tools(request, tmp_path, monkeypatch, capsys):
    """Run a stock script on a config with attention inserted into the whole model."""
    package = request.param
    cfg = load_config(str(CONFIGS / MODELS[package]))
    smoke.shrink(cfg, str(tmp_path / 'data'))
    site = dict(after='backbone', levels=[-1], attention=dict(type='CoordAtt'))
    cfg.model = dict(type='InsertAttention', host=cfg.model, sites=[site])
    cfg.dump(tmp_path / 'config.py')
    folder = Path(importlib.util.find_spec(package).origin).parent / '.mim' / 'tools'

    def run(name: str, *options: object) -> str:
        [script] = {path.name: path for path in folder.glob(f'*/{name}')}.values()
        shape = ['--shape', 64] if name == 'get_flops.py' and package != 'mmdet' else []
        args = [script, tmp_path / 'config.py', *options, *shape]
        monkeypatch.setattr('sys.argv', [str(arg) for arg in args])
        runpy.run_path(str(script), run_name='__main__')
        return capsys.readouterr().out

    return run


def skip_what_fails_without_attention(request):
    """On a plain ResNet, too."""
    package = request.node.callspec.params['tools']
    if package == 'mmseg' and importlib.import_module(package).__version__.startswith('1.2.'):
        pytest.skip('this script of mmsegmentation 1.2 fails on any model')


@pytest.mark.slow
def test_stock_browse_dataset_draws_every_image(tools, tmp_path, request):
    skip_what_fails_without_attention(request)
    if request.node.callspec.params['tools'] == 'mmpretrain' and matplotlib_version >= (3, 11):
        pytest.skip('browse_dataset.py of mmpretrain does not run with matplotlib 3.11')
    tools('browse_dataset.py', '--output-dir', tmp_path / 'drawn', '--not-show')
    assert len([path for path in (tmp_path / 'drawn').rglob('*.*') if path.is_file()]) == 4


@pytest.mark.slow
def test_stock_get_flops_counts(tools, request):
    skip_what_fails_without_attention(request)
    assert re.search(r'Flops: +[\d.]+[MG]', tools('get_flops.py'))
