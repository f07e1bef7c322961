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


def scaled(*sides):
    return [dict(type='Resize', scale=(2 * side, side), keep_ratio=True) for side in sides]


@pytest.mark.parametrize(('side', 'fits'), [(32, True), (64, True), (31, False), (80, False)])
def test_tta_of_images_of_another_size(monkeypatch, side, fits):
    monkeypatch.setattr(options, 'check_tta', lambda cfg: None)
    cfg = Config(
        dict(
            model=dict(type='X'),
            test_dataloader=dict(dataset=dict(datasets=[dict(pipeline=scaled(side))])),
            tta_pipeline=[dict(type='TestTimeAug', transforms=[scaled(32, 64)])],
            tta_model=dict(type='SegTTAModel'),
        )
    )
    if fits:
        options.use_tta(cfg)
        assert cfg.test_dataloader.dataset.datasets == [dict(pipeline=cfg.tta_pipeline)]
        return
    with pytest.raises(InputError) as refused:
        options.use_tta(cfg)
    assert str(refused.value) == (
        '--tta: tta_pipeline makes the long side of an image 64 to 128 pixels, but the test '
        f'{2 * side}; give the config a tta_pipeline of its own'
    )


IOU = dict(type='IoUMetric', iou_metrics=['mIoU'])
DUMP = dict(type='DumpResults', out_file_path='a.pkl')


def of(scope, evaluator):
    return Config(dict(default_scope=scope, test_evaluator=evaluator))


@pytest.mark.parametrize('name', ['out', 'preds_v1.2', 'a.png'])
@pytest.mark.parametrize(
    ('evaluator', 'find'),
    [
        (IOU, lambda e: e),
        # The first one that writes writes, not all.
        ([DUMP, IOU, dict(IOU, prefix='f')], lambda e: e[1]),
        (dict(type='Evaluator', metrics=[IOU]), lambda e: e.metrics[0]),
    ],
    ids=['one', 'list', 'evaluator'],
)
def test_out_is_a_folder_of_any_name(tmp_path, name, evaluator, find):
    cfg = of('mmseg', evaluator)
    options.save_predictions(cfg, str(tmp_path / name))
    assert find(cfg.test_evaluator).output_dir == str(tmp_path / name)
    assert str(cfg.test_evaluator).count('output_dir') == 1


@pytest.mark.parametrize('evaluator', [IOU, [IOU, IOU]], ids=['one', 'list'])
def test_out_is_a_pickle(evaluator):
    cfg = of('mmdet', evaluator)
    options.save_predictions(cfg, 'a.pkl')
    assert cfg.test_evaluator == [*(evaluator if isinstance(evaluator, list) else [IOU]), DUMP]
    cfg = of('mmdet', dict(type='Evaluator', metrics=evaluator))
    options.save_predictions(cfg, 'a.pkl')
    assert cfg.test_evaluator.type == 'Evaluator' and cfg.test_evaluator.metrics[-1] == DUMP


@pytest.mark.parametrize(
    ('scope', 'evaluator', 'out', 'message'),
    [
        (
            'mmseg',
            IOU,
            'out.pkl',
            '--out out.pkl has to be a folder: mmseg writes one PNG per image',
        ),
        ('mmseg', [DUMP], 'out', '--out needs a metric that writes label maps, such as IoUMetric'),
        ('mmdet', IOU, 'out', '--out out has to end in .pkl'),
    ],
)
def test_out_that_does_not_fit(scope, evaluator, out, message):
    with pytest.raises(InputError) as refused:
        options.save_predictions(of(scope, evaluator), out)
    assert str(refused.value) == message


def test_a_test_needs_its_parts():
    cfg = Config(dict(test_cfg=dict()), cfg_text=' ', filename='mine.py')
    with pytest.raises(InputError) as refused:
        options.check_test_part(cfg)
    assert str(refused.value) == (
        'config mine.py has no test_dataloader and no test_evaluator; a test needs '
        'test_dataloader, test_cfg and test_evaluator'
    )
    # mmpretrain's configs say no more of how to test.
    cfg.test_dataloader, cfg.test_evaluator = dict(), []
    options.check_test_part(cfg)


@pytest.fixture
def cfg(tmp_path):
    (tmp_path / 'some_name.py').write_text('')
    return Config.fromfile(tmp_path / 'some_name.py')


def test_work_dir(cfg):
    options.choose_work_dir(cfg, None)
    assert cfg.work_dir == 'work_dirs/some_name'
    cfg.work_dir = 'its/own'
    options.choose_work_dir(cfg, None)
    assert cfg.work_dir == 'its/own'
    options.choose_work_dir(cfg, 'a/b')
    assert cfg.work_dir == 'a/b'
