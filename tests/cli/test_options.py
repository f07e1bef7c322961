import pytest
import torch
from mmengine.config import Config

from mmattn.cli import options
from mmattn.errors import InputError

no_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason='asks for what this machine has')


def test_resume_takes_the_last_checkpoint(tmp_path):
    torch.save({}, tmp_path / 'iter_4.pth')
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_4.pth'))
    cfg = Config(dict(work_dir=str(tmp_path)))
    options.resume(cfg, 'auto')
    assert cfg.resume and cfg.load_from == str(tmp_path / 'iter_4.pth')


def test_resume_finds_a_moved_work_dir(tmp_path):
    torch.save({}, tmp_path / 'iter_4.pth')
    (tmp_path / 'last_checkpoint').write_text('/somewhere/else/iter_4.pth')
    cfg = Config(dict(work_dir=str(tmp_path)))
    options.resume(cfg, 'auto')
    assert cfg.load_from == str(tmp_path / 'iter_4.pth')


@pytest.mark.parametrize('recorded', [None, '', '/nowhere/iter_4.pth'], ids=['no', 'empty', 'gone'])
def test_nothing_to_resume(tmp_path, recorded):
    if recorded is not None:
        (tmp_path / 'last_checkpoint').write_text(recorded)
    with pytest.raises(InputError, match='--resume finds nothing to go on from: .*last_checkpoint'):
        options.resume(Config(dict(work_dir=str(tmp_path))), 'auto')


def test_resume_from_a_missing_file(tmp_path):
    with pytest.raises(InputError, match=r'nope\.pth is not a file'):
        options.resume(Config(dict(work_dir=str(tmp_path))), str(tmp_path / 'nope.pth'))


def test_auto_scale_lr():
    cfg = Config(dict(auto_scale_lr=dict(enable=False, base_batch_size=16)))
    options.use_auto_scale_lr(cfg)
    assert cfg.auto_scale_lr.enable
    with pytest.raises(InputError, match='auto_scale_lr=dict'):
        options.use_auto_scale_lr(Config(dict()))


@no_cuda
def test_what_needs_cuda_says_so():
    with pytest.raises(InputError, match='--device cuda, but PyTorch sees no CUDA device'):
        options.check_device('cuda')
    with pytest.raises(InputError, match='--amp needs a CUDA device'):
        options.use_amp(Config(dict(optim_wrapper=dict(type='OptimWrapper'))))
    options.check_device('cpu')
    options.check_device(None)


def test_amp(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    cfg = Config(dict(optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1))))
    options.use_amp(cfg)
    assert cfg.optim_wrapper.type == 'AmpOptimWrapper' and cfg.optim_wrapper.loss_scale == 'dynamic'
    with pytest.raises(InputError, match='the config has MyWrapper'):
        options.use_amp(Config(dict(optim_wrapper=dict(type='MyWrapper'))))


def test_tta_needs_a_pipeline():
    with pytest.raises(InputError, match='--tta needs tta_pipeline and tta_model'):
        options.use_tta(Config(dict(tta_model=dict(type='SegTTAModel'))))


def test_tta_reaches_the_data_in_wrappers(monkeypatch):
    monkeypatch.setattr(options, 'check_tta', lambda cfg: None)
    pipeline = [dict(type='LoadImage')]
    inner = [dict(type='RepeatDataset', dataset=dict(type='ADE20KDataset')) for _ in 'ab']
    loader = dict(dataset=dict(type='ConcatDataset', datasets=inner))
    tta = dict(tta_model=dict(type='SegTTAModel'), tta_pipeline=pipeline)
    cfg = Config(dict(model={}, test_dataloader=loader, **tta))
    options.use_tta(cfg)
    dataset = cfg.test_dataloader.dataset
    assert 'pipeline' not in dataset
    assert [d.dataset.pipeline for d in dataset.datasets] == [pipeline, pipeline]


def test_out_is_a_folder_or_a_pickle(tmp_path):
    cfg = Config(dict(default_scope='mmseg', test_evaluator=dict(type='IoUMetric')))
    options.save_predictions(cfg, str(tmp_path / 'out'))
    assert cfg.test_evaluator.output_dir == str(tmp_path / 'out')
    with pytest.raises(InputError, match='has to be a folder'):
        options.save_predictions(cfg, 'out.pkl')
    cfg = Config(dict(default_scope='mmdet', test_evaluator=dict(type='CocoMetric')))
    options.save_predictions(cfg, 'out.pkl')
    assert [metric.type for metric in cfg.test_evaluator] == ['CocoMetric', 'DumpResults']
    with pytest.raises(InputError, match=r'has to end in \.pkl'):
        options.save_predictions(cfg, 'out')


@pytest.fixture
def cfg(tmp_path):
    (tmp_path / 'some_name.py').write_text('')
    return Config.fromfile(tmp_path / 'some_name.py')


def test_work_dir(cfg, tmp_path):
    options.prepare_work_dir(cfg, str(tmp_path / 'a' / 'b'))
    assert cfg.work_dir == str(tmp_path / 'a' / 'b') and (tmp_path / 'a' / 'b').is_dir()
    (tmp_path / 'file').touch()
    with pytest.raises(InputError, match=r'file/x cannot be written .*another --work-dir'):
        options.prepare_work_dir(cfg, str(tmp_path / 'file' / 'x'))


def test_work_dir_is_named_after_the_config(cfg, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options.prepare_work_dir(cfg, None)
    assert cfg.work_dir == 'work_dirs/some_name'
