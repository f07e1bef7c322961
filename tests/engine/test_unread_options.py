import sys
from pathlib import Path

import pytest

from mmattn.engine.config import load_config
from mmattn.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
SEG = ROOT / 'configs' / 'seg' / 'upernet_van_b0_ade20k.py'
SSD = ROOT / 'configs' / 'det' / 'ssdlite320_mobilenetv2_voc0712.py'
LOADERS = 'train_dataloader.{0}, val_dataloader.{0} and test_dataloader.{0}'


def message(path, **options):
    with pytest.raises(InputError) as caught:
        load_config(str(path), {key.replace('__', '.'): v for key, v in options.items()})
    assert '\n' not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ('option', 'found'),
    [
        (
            'data_root',
            f'data_root; what is read is {LOADERS.format("dataset.data_root")}; '
            '--data-root DIR sets them all',
        ),
        (
            'num_classes',
            'num_classes; what is read is model.decode_head.num_classes and '
            'model.auxiliary_head.num_classes',
        ),
        ('lr', 'lr; what is read is optim_wrapper.optimizer.lr'),
        ('optimizer.lr', 'optimizer; what is read is optim_wrapper.optimizer.lr'),
        ('max_iters', 'max_iters; what is read is train_cfg.max_iters'),
        ('runner.max_iters', 'runner; what is read is train_cfg.max_iters'),
        ('batch_size', f'batch_size; what is read is {LOADERS.format("batch_size")}'),
        # A list that the config has used up is found by what it holds.
        (
            'train_pipeline.2.scale',
            'train_pipeline; what is read is train_dataloader.dataset.pipeline.2.scale',
        ),
        # Its model has one.
        (
            'data_preprocessor.size',
            'data_preprocessor; what is read is model.data_preprocessor.size',
        ),
        ('quiet', 'quiet; check the spelling'),
    ],
)
def test_an_option_that_nothing_reads(option, found):
    line = message(SEG, **{option: 4})
    assert line == f'--cfg-options {option} changes nothing, since nothing reads {found}'


def test_places_in_wrappers_are_named_and_of_many_the_first_ones():
    inside = 'train_dataloader.dataset.datasets'
    assert message(SSD, data_root='x') == (
        '--cfg-options data_root changes nothing, since nothing reads data_root; what is read is '
        f'{inside}.0.data_root, {inside}.1.data_root, val_dataloader.dataset.data_root and '
        'test_dataloader.dataset.data_root; --data-root DIR sets them all'
    )


def test_what_is_read_passes():
    options = {
        'train_cfg.max_iters': 8,
        'work_dir': 'x',
        'randomness.seed': 1,
        'find_unused_parameters': True,
        'auto_scale_lr.enable': True,
        'resume_partial': True,
        'tta_model.type': 'SegTTAModel',
    }
    cfg = load_config(str(SEG), options)
    assert cfg.train_cfg.max_iters == 8 and cfg.find_unused_parameters


def test_a_preprocessor_beside_a_model_without_one_is_read(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text('model = dict()\ndata_preprocessor = dict(size=3)')
    assert load_config(str(path), {'data_preprocessor.size': 4}).data_preprocessor.size == 4


def test_what_somebody_elses_code_may_read_is_left_alone(tmp_path, monkeypatch):
    (tmp_path / 'own_hooks.py').write_text('def read(runner):\n    return runner.cfg.patience\n')
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / 'config.py'
    path.write_text("custom_imports = dict(imports=['own_hooks'])\npatience = 3")
    try:
        assert load_config(str(path), {'patience': 4}).patience == 4
        assert message(path, patients=4).endswith('nothing reads patients; check the spelling')
    finally:
        del sys.modules['own_hooks']


def test_a_runner_of_somebody_else_reads_what_it_likes(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text('from argparse import Namespace\nrunner_type = Namespace\ndel Namespace')
    assert load_config(str(path), {'anything': 4}).anything == 4
