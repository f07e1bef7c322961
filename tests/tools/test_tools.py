"""The command line tools, run as a user runs them."""

import os
import pickle
import re
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from PIL import Image

from mmattn import VAN
from mmattn.datasets.synthetic.tiny_ade20k import make_tiny_ade20k
from mmattn.datasets.synthetic.tiny_coco import make_tiny_coco
from mmattn.datasets.synthetic.tiny_imagenet import make_tiny_imagenet
from tests.configs.leaves import BUILT, LARGE, SIBLINGS, named
from tests.forked import Script

ROOT = Path(__file__).resolve().parents[2]
ENV = {**os.environ, 'PYTHONPATH': str(ROOT)}

# A model of seconds, in the form that a user writes it: a base and the deltas.
CONFIG = """
_base_ = '{root}/configs/seg/upernet_van_b0_ade20k.py'
model = dict(
    data_preprocessor=dict(size=(64, 64)),
    backbone=dict(
        _delete_=True,
        type='VAN',
        arch=dict(
            embed_dims=(8, 8, 16, 16), depths=(1, 1, 1, 1), mlp_ratios=(2, 2, 2, 2)
        ),
        norm_cfg=dict(type='SyncBN', requires_grad=True),
        drop_path_rate=0.1,
        stage_norm_cfg=dict(type='LN', eps=1e-5),
    ),
    decode_head=dict(in_channels=[8, 8, 16, 16], channels=16),
    auxiliary_head=dict(in_channels=16, channels=8),
)
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadSegMap', max_label=150),
    dict(type='RandomCrop', crop_size=(64, 64)),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='Resize', scale=(128, 64), keep_ratio=True),
    dict(type='ResizeToMultiple', size_divisor=32),
    dict(type='LoadSegMap', max_label=150),
    dict(type='PackSegInputs'),
]
data = dict(data_root='{data}')
train_dataloader = dict(num_workers=1, dataset=dict(pipeline=train_pipeline, **data))
val_dataloader = dict(num_workers=1, dataset=dict(pipeline=test_pipeline, **data))
test_dataloader = dict(num_workers=1, dataset=dict(pipeline=test_pipeline, **data))
tta_pipeline = [
    dict(type='LoadImage'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=(64 * k, 32 * k), keep_ratio=True) for k in (1, 2)],
            [dict(type='ResizeToMultiple', size_divisor=32)],
            [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)],
            [dict(type='LoadSegMap', max_label=150)],
            [dict(type='PackSegInputs')],
        ],
    ),
]
train_cfg = dict(max_iters=2, val_interval=2)
default_hooks = dict(logger=dict(interval=1))
custom_hooks = [dict(type='EMAHook', momentum=0.1, update_buffers=True)]
"""


def start(tool, *args):
    return Script(ROOT / 'tools' / tool, *args, env=ENV)


def run(tool, *args):
    process = start(tool, *args)
    out, err = process.communicate()
    return process.returncode, out, err


def succeed(tool, *args):
    status, out, err = run(tool, *args)
    assert status == 0, out[-2000:] + err
    return out


def fail(tool, *args):
    """Give the one line of the error."""
    status, _, err = run(tool, *args)
    assert status == 1, err
    assert 'Traceback' not in err
    errors = [line for line in err.splitlines() if line.startswith('error: ')]
    assert len(errors) == 1 and err.strip().endswith(errors[0]), err
    return errors[0]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('tools')
    make_tiny_ade20k(folder / 'data', train=4, val=2)
    (folder / 'tiny.py').write_text(CONFIG.format(root=ROOT, data=folder / 'data'))
    return folder


@pytest.fixture(scope='module')
def trained(folder):
    status, out, err = run('train.py', folder / 'tiny.py', '--work-dir', folder / 'run')
    # That of the method is of the way in which tests start a script.
    warned = [line for line in err.splitlines() if 'Warning: ' in line]
    assert (status, [line for line in warned if '`fork` is different' not in line]) == (0, []), err
    assert re.search(r'Iter\(train\) \[2/2\].* eta: ', out)
    assert re.search(r'Iter\(val\) \[2/2\].* mIoU: ', out)
    (folder / 'printed').write_text(out)
    return folder / 'run' / 'iter_2.pth'


PRINTED = """\
TIME - mmengine - WARNING - param_scheduler.1 (PolyLR) goes on to iteration 160000, and the \
training ends at 2: the learning rate will not come down as far as it should; set \
param_scheduler.1.end=2
TIME - mmengine - WARNING - The backbone starts from random values. Published figures start from \
pretrained weights: --cfg-options model.backbone.init_cfg.type=Pretrained \
model.backbone.init_cfg.checkpoint=FILE
TIME - mmengine - INFO - Checkpoints will be saved to {run}.
TIME - mmengine - INFO -\x20
ranks: 1, on cpu; total batch size 2
training: 4 images, 150 classes (ADE20KDataset)
validation: 2 images, 150 classes (ADE20KDataset)
+----------------+----------------+------------+-----------+----------------+
| part           | type           | parameters | attention | its parameters |
+----------------+----------------+------------+-----------+----------------+
| backbone       | VAN            |     15,112 | 4 LKA     |          4,336 |
| decode_head    | UPerHead       |     32,118 |           |                |
| auxiliary_head | FCNHead        |      2,518 |           |                |
+----------------+----------------+------------+-----------+----------------+
| total          | EncoderDecoder |     49,748 | 4 LKA     |          4,336 |
+----------------+----------------+------------+-----------+----------------+
"""


def test_prints_ranks_data_model_and_then_losses(folder, trained):
    out = (folder / 'printed').read_text()
    out = re.sub(r'\x1b\[\d+m', '', out)
    out = re.sub(r'\d\d/\d\d \d\d:\d\d:\d\d', 'TIME', out)
    before = out.partition('TIME - mmengine - INFO - Iter(train)')[0]
    assert before == PRINTED.format(run=folder / 'run')


def test_the_log_has_what_the_terminal_is_spared(folder, trained):
    [log] = (folder / 'run').glob('*/*.log')
    text = log.read_text()
    printed = (folder / 'printed').read_text()
    for what in (
        'System environment:',
        'Config:\n',
        'Hooks will be executed in the following order:',
        'paramwise_options -- backbone.norm1.weight:decay_mult=0.0',
        'Name of parameter - Initialization information',
        'The prefix is not set in metric class IoUMetric.',
        'WARNING - Default ``avg_non_ignore`` is False',
    ):
        assert what in text and what not in printed, what
    for line in ('ranks: 1, on cpu; total batch size 2', '| backbone ', 'Iter(train) [1/2]'):
        assert line in text, line


def test_goes_on_from_the_last_checkpoint(folder, trained):
    options = ['--resume', '--verbose', '--cfg-options', 'train_cfg.max_iters=3']
    out = succeed('train.py', folder / 'tiny.py', '--work-dir', folder / 'run', *options)
    assert 'resumed epoch: 0, iter: 2' in out
    for what in ('System environment:', 'Config:\n', 'Hooks will be executed', 'paramwise_options'):
        assert what in out, what
    assert re.findall(r'Iter\(train\) \[(\d)/3\]', out) == ['3']
    assert torch.load(folder / 'run' / 'iter_3.pth', weights_only=False)['meta']['iter'] == 3


def test_starts_from_published_weights_or_says_that_it_does_not(folder, trained, tmp_path):
    arch = dict(embed_dims=(8, 8, 16, 16), depths=(1, 1, 1, 1), mlp_ratios=(2, 2, 2, 2))
    weights = VAN(arch).state_dict()
    torch.save({'state_dict': {**weights, 'head.bias': torch.rand(3)}}, tmp_path / 'van.pth')
    init_cfg = f'type=Pretrained checkpoint={tmp_path / "van.pth"}'.split()
    options = ['train_cfg.max_iters=1', *(f'model.backbone.init_cfg.{o}' for o in init_cfg)]
    args = ['train.py', folder / 'tiny.py', '--work-dir', tmp_path, '--cfg-options']
    out = succeed(*args, *options)
    count = len(weights)
    assert (
        f'van.pth (released VAN layout): {count}/{count} host tensors loaded, 1 unused (head.*)'
        in out
    )
    assert 'starts from random values' not in out
    log = min((folder / 'run').glob('*/*.log'))
    assert 'starts from random values' in log.read_text()


def test_saves_and_draws_predictions(folder, trained, tmp_path):
    options = [
        '--work-dir',
        tmp_path / 'test',
        '--out',
        tmp_path / 'out',
        '--show-dir',
        tmp_path / 'show',
    ]
    out = succeed('test.py', folder / 'tiny.py', trained, *options)
    assert re.search(r'Iter\(test\) \[2/2\].* mIoU: ', out)
    names = [f'ADE_val_{i:08d}' for i in (1, 2)]
    assert sorted(p.stem for p in (tmp_path / 'out').iterdir()) == names
    for name in names:
        prediction = np.array(Image.open(tmp_path / 'out' / f'{name}.png'))
        image = Image.open(folder / 'data' / 'images' / 'validation' / f'{name}.jpg')
        assert prediction.shape == image.size[::-1]
        # In the labels of the data set: 0 is "no label" and never predicted.
        assert prediction.min() >= 1 and prediction.max() <= 150
        [drawn] = (tmp_path / 'show').glob(f'test_{name}*.png')
        # Truth and prediction side by side.
        assert Image.open(drawn).size == (2 * image.width, image.height)


DETECTOR = """
_base_ = '{root}/configs/det/retinanet_van_b0_fpn_1x_coco.py'
model = dict(
    backbone=dict(
        arch=dict(
            _delete_=True, embed_dims=(8, 8, 16, 16), depths=(1, 1, 1, 1), mlp_ratios=(2, 2, 2, 2)
        )
    ),
    neck=dict(in_channels=[8, 8, 16, 16], out_channels=16),
    bbox_head=dict(in_channels=16, feat_channels=16, stacked_convs=1),
)
test_dataloader = dict(num_workers=0)
custom_hooks = [dict(type='EMAHook')]
"""
CLASSIFIER = """
_base_ = '{root}/configs/cls/mobilenetv2_w050-coordatt_in1k.py'
test_dataloader = dict(num_workers=0)
custom_hooks = [dict(type='EMAHook')]
"""


@pytest.mark.parametrize(
    ('make', 'text', 'images', 'metric'),
    [
        (make_tiny_coco, DETECTOR, 'val2017/*.jpg', None),
        (make_tiny_imagenet, CLASSIFIER, 'val/*/*.JPEG', 'accuracy/top1'),
    ],
    ids=['detector', 'classifier'],
)
def test_saves_and_draws_in_other_scopes(tmp_path, make, text, images, metric):
    make(tmp_path / 'data', train=1, val=2)
    config = tmp_path / 'tiny.py'
    config.write_text(text.format(root=ROOT))
    cfg = Config.fromfile(config)
    init_default_scope(cfg.default_scope)
    torch.save(MODELS.build(cfg.model).state_dict(), tmp_path / 'random.pth')
    show, dump = tmp_path / 'show', tmp_path / 'predictions.pkl'
    options = ['--work-dir', tmp_path / 'test', '--show-dir', show, '--out', dump]
    options += ['--data-root', tmp_path / 'data']
    out = succeed('test.py', config, tmp_path / 'random.pth', *options)
    if metric:
        assert metric in out
    assert len(pickle.loads(dump.read_bytes())) == 2
    for path in (tmp_path / 'data').glob(images):
        [drawn] = show.rglob(f'*{path.stem}*')
        width, height = Image.open(path).size
        # A detector shows truth and prediction side by side, a classifier what the network sees.
        expected = (224, 224) if metric else (2 * width, height)
        assert Image.open(drawn).size == expected


def test_averages_over_scales_and_flips(folder, trained, tmp_path):
    outs = []
    for options in ([], ['--tta']):
        out = tmp_path / f'out{len(options)}'
        log = succeed(
            'test.py', folder / 'tiny.py', trained, '--work-dir', tmp_path, '--out', out, *options
        )
        assert re.search(r'Iter\(test\) \[2/2\].* mIoU: ', log)
        outs.append(np.array(Image.open(out / 'ADE_val_00000001.png')))
    assert outs[0].shape == outs[1].shape and (outs[0] != outs[1]).any()


def test_interrupted(folder, tmp_path):
    """Ctrl-C goes to the whole group, the loader's processes included."""
    options = ['--cfg-options', 'train_cfg.max_iters=100000', 'train_cfg.val_interval=100000']
    options += ['default_hooks.checkpoint.interval=1']
    process = start('train.py', folder / 'tiny.py', '--work-dir', tmp_path, *options)
    for line in process.stdout:
        if re.search(r'Iter\(train\) \[ *3/', line):
            break
    os.killpg(process.pid, signal.SIGINT)
    try:
        _, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
    assert 'error: interrupted; checkpoints written so far are whole' in err
    checkpoints = list(tmp_path.glob('*.pth'))
    assert checkpoints
    for path in checkpoints:
        torch.load(path, weights_only=False)


class Attacker:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_refuses_code_in_a_checkpoint_unless_trusted(folder, trained, tmp_path):
    checkpoint = torch.load(trained, weights_only=False)
    checkpoint['extra'] = Attacker(tmp_path / 'harm')
    torch.save(checkpoint, tmp_path / 'a.pth')
    args = ['test.py', folder / 'tiny.py', tmp_path / 'a.pth', '--work-dir', tmp_path / 'w']
    assert 'a.pth is not plain data' in fail(*args)
    assert not (tmp_path / 'harm').exists()
    succeed(*args, '--trust-checkpoint')
    assert (tmp_path / 'harm').exists()


def test_wrong_label_is_named_by_the_process_that_loads_it(folder, tmp_path):
    make_tiny_ade20k(tmp_path / 'data', train=2, val=1)
    for path in (tmp_path / 'data' / 'annotations' / 'training').iterdir():
        labels = np.array(Image.open(path))
        labels[0, 0] = 200
        Image.fromarray(labels).save(path)
    option = f'train_dataloader.dataset.data_root={tmp_path / "data"}'
    error = fail(
        'train.py', folder / 'tiny.py', '--work-dir', tmp_path / 'w', '--cfg-options', option
    )
    assert re.search(r'ADE_train_0000000\d\.png has the label 200; expected 0 to 150', error)
    assert not (tmp_path / 'w').exists()


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['train.py', 'nope.py'], 'config nope.py is not a file'),
        (
            ['train.py', '{tiny}', '--cfg-options', 'train_dataloader.dataset.data_root=/nope'],
            'train_dataloader.dataset.data_root /nope is not a folder',
        ),
        (
            ['train.py', '{tiny}', '--cfg-options', 'model.backbone.type=VANN'],
            "type='VANN' is not in the registry mmseg::model; did you mean 'VAN'?",
        ),
        (
            ['train.py', '{tiny}', '--cfg-options', 'train_dataloader.batchsize=3'],
            'train_dataloader.batchsize is not an option of DataLoader',
        ),
        (
            ['train.py', '{tiny}', '--cfg-options', 'data_root=x'],
            '--cfg-options data_root changes nothing, since nothing reads data_root; what is read '
            'is train_dataloader.dataset.data_root, val_dataloader.dataset.data_root and '
            'test_dataloader.dataset.data_root; --data-root DIR sets them all',
        ),
        (
            ['train.py', '{tiny}', '--cfg-options', 'model.auxiliary_head.num_classes=2'],
            'train_dataloader.dataset has 150 classes (wall, building, sky, floor, tree, ceiling '
            'and 144 more): expected 150 in the place of model.auxiliary_head.num_classes=2',
        ),
        (['train.py', '{tiny}', '--resume'], '--resume finds nothing to go on from'),
        (['test.py', '{tiny}', 'nope.pth'], 'checkpoint nope.pth is not a file'),
        (
            [
                'test.py',
                '{demo}',
                '{trained}',
                '--cfg-options',
                'test_dataloader.dataset.data_root={data}',
            ],
            'iter_2.pth is of another architecture than this EncoderDecoder',
        ),
    ],
    ids=[
        'config',
        'data',
        'type',
        'option',
        'unread',
        'classes',
        'resume',
        'checkpoint',
        'architecture',
    ],
)
def test_bad_input(folder, trained, tmp_path, args, message):
    names = dict(
        tiny=folder / 'tiny.py',
        demo=ROOT / 'configs' / 'demo' / 'upernet_van_tiny_ade20k.py',
        trained=trained,
        data=folder / 'data',
    )
    options = [arg.format(**names) for arg in args]
    # Before --cfg-options, which takes all that follows.
    options[2:2] = ['--work-dir', str(tmp_path / 'runs' / 'a')]
    assert message in fail(*options)
    assert not (tmp_path / 'runs').exists()


def smoke(path, work_dir):
    out = succeed('train.py', path, '--smoke', '--device', 'cpu', '--work-dir', work_dir)
    steps = re.findall(r'Iter\(train\) \[(\d)/\d\]', out)
    epochs = re.findall(r'Epoch\(train\) +\[(\d)\]\[(\d)/2\]', out)
    assert steps == list('123456') or epochs == [(e, i) for e in '123' for i in '12']
    assert re.search(r'(Iter|Epoch)\(val\) .*\[\d/\d\] ', out)
    assert 'smoke run passed' in out
    last = (work_dir / 'last_checkpoint').read_text()
    assert torch.load(last, weights_only=False, mmap=True)['meta']['iter'] == 6
    # Of all configs they would be many gigabytes.
    for checkpoint in work_dir.glob('*.pth'):
        checkpoint.unlink()


# One of each scope and kind of model; the others are left to `make test-all`.
QUICK = (
    named('cls', 'mobilenetv2-coordatt_in1k'),
    named('seg', 'deeplabv3_mobilenetv2_d16-coordatt_voc12aug'),
    named('det', 'mask_rcnn_van_b0_fpn_1x_coco'),
    named('det', 'ssdlite320_mobilenetv2-coordatt_voc0712'),
    named('seg', 'upernet_van_b0_ade20k'),
)


MEMORY = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')


def marked(path):
    """Mark a config by when it is smoked: always, with the slow tests, or not in CI."""
    siblings = [pytest.mark.sibling] if path in SIBLINGS else []
    return pytest.param(path, marks=[] if path in QUICK else [pytest.mark.slow, *siblings])


@pytest.mark.parametrize(
    'path', [marked(path) for path in BUILT if path not in LARGE], ids=lambda path: path.stem
)
def test_smoke(path, tmp_path):
    smoke(path, tmp_path)


@pytest.mark.slow
@pytest.mark.sibling
@pytest.mark.timeout(1800)
@pytest.mark.skipif(MEMORY < 12e9, reason='needs 12 GB of memory, with what runs beside it')
def test_smoke_of_large_models(tmp_path):
    """One after the other, so that they are not in memory at once."""
    for path in LARGE:
        smoke(path, tmp_path / path.stem)
