"""mmattn data init: what it says, and the configs that it writes."""

import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import DATASETS

from mmattn.cli.main import main
from mmattn.datasets.checks import check_data
from mmattn.engine.config import load_config
from mmattn.probe.config_check import check_config
from tests.datasets.own.folders import save_coco, save_image, save_map, save_pairs
from tests.forked import run

ROOT = Path(__file__).resolve().parents[2]

SEG = """\
_base_ = '{configs}/seg/upernet_van_b0_ade20k.py'

data_root = '{root}/mine'
metainfo = dict(classes=('sky', 'road', 'car'), palette=[[0, 0, 0], [128, 0, 0], [0, 128, 0]])
num_classes = len(metainfo['classes'])

scale = (128, 32)
crop_size = (32, 32)
model = dict(
    data_preprocessor=dict(size=crop_size),
    decode_head=dict(num_classes=num_classes),
    auxiliary_head=dict(num_classes=num_classes),
)

load_labels = dict(type='LoadSegMap', max_label=num_classes - 1, ignore_index=11)
tta_scales = [(int(scale[0] * r), int(scale[1] * r)) for r in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)]
train_pipeline = [
    dict(type='LoadImage'),
    load_labels,
    dict(type='RandomResize', scale=scale, ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
# By the names that inferencers look for.
test_pipeline = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='ResizeToMultiple', size_divisor=32),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
# The validation reads with loaders that name a file that is wrong.
val_pipeline = [dict(type='LoadImage'), *test_pipeline[1:-2], load_labels, test_pipeline[-1]]
tta_pipeline = [
    dict(type='LoadImage'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=size, keep_ratio=True) for size in tta_scales],
            [dict(type='ResizeToMultiple', size_divisor=32)],
            [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)],
            [load_labels],
            [dict(type='PackSegInputs')],
        ],
    ),
]

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='BaseSegDataset',
        data_root=data_root,
        metainfo=metainfo,
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        ann_file='{{{{ fileDirname }}}}/mine_seg_train.txt',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='BaseSegDataset',
        data_root=data_root,
        metainfo=metainfo,
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        ann_file='{{{{ fileDirname }}}}/mine_seg_val.txt',
        pipeline=val_pipeline,
    ),
)
test_dataloader = dict(dataset=dict(val_dataloader['dataset'], pipeline=test_pipeline))

max_iters = 1000
train_cfg = dict(max_iters=max_iters, val_interval=max_iters // 10)
default_hooks = dict(checkpoint=dict(interval=max_iters // 10))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-06, by_epoch=False, begin=0, end=100),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=100, end=max_iters),
]
"""
DET = """\
_base_ = '{configs}/det/retinanet_van_b0_fpn_1x_coco.py'

data_root = '{root}/boxes/'
metainfo = dict(classes=('cat', 'dog'), palette=[[128, 0, 0], [0, 128, 0]])
num_classes = len(metainfo['classes'])

scale = (88, 53)
model = dict(bbox_head=dict(num_classes=num_classes))

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
# By the names that inferencers look for.
test_pipeline = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
# The validation reads with loaders that name a file that is wrong.
val_pipeline = [dict(type='LoadImage'), *test_pipeline[1:]]

train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        data_prefix=dict(img='images/'),
        ann_file='train.json',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        data_prefix=dict(img='images/'),
        ann_file='val.json',
        pipeline=val_pipeline,
    ),
)
test_dataloader = dict(dataset=dict(val_dataloader['dataset'], pipeline=test_pipeline))
val_evaluator = dict(ann_file=data_root + 'val.json')
test_evaluator = val_evaluator

max_epochs = 500
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=100),
    dict(
        type='MultiStepLR',
        milestones=[333, 458],
        gamma=0.1,
        by_epoch=True,
        begin=0,
        end=max_epochs,
    ),
]
"""
CLS = """\
_base_ = '{configs}/cls/mobilenetv2_w050_in1k.py'

data_root = '{root}/pets'
metainfo = dict(classes=('cat', 'dog'))
num_classes = len(metainfo['classes'])

model = dict(data_preprocessor=dict(num_classes=num_classes), head=dict(num_classes=num_classes))

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='RandomResizedCrop', scale=64, backend='pillow', interpolation='bilinear'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
# By the names that inferencers look for.
test_pipeline = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='ResizeEdge', scale=73, edge='short', backend='pillow', interpolation='bilinear'),
    dict(type='CenterCrop', crop_size=64),
    dict(type='PackInputs'),
]
# The validation reads with loaders that name a file that is wrong.
val_pipeline = [dict(type='LoadImage'), *test_pipeline[1:]]

train_dataloader = dict(
    batch_size=2,
    dataset=dict(
        _delete_=True,
        type='CustomDataset',
        data_root=data_root,
        metainfo=metainfo,
        data_prefix='train',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='CustomDataset',
        data_root=data_root,
        metainfo=metainfo,
        data_prefix='val',
        pipeline=val_pipeline,
    ),
)
test_dataloader = dict(dataset=dict(val_dataloader['dataset'], pipeline=test_pipeline))
val_evaluator = dict(topk=(1,))
test_evaluator = val_evaluator
"""


@pytest.fixture
def init(monkeypatch, capsys, tmp_path):
    """Give the exit status, the output and the errors of mmattn data init, called elsewhere."""
    folder = tmp_path / 'elsewhere'
    folder.mkdir()

    def init(*words):
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, 'argv', ['mmattn', 'data', 'init', *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        return stop.value.code, *capsys.readouterr()

    return init


def save_boxes(root):
    for split, images in (('train', 4), ('val', 2)):
        save_coco(root / f'{split}.json', root / 'images', images, {7: 'cat', 3: 'dog'})


def save_folders(root):
    for split in ('train', 'val'):
        for name in ('cat', 'dog'):
            for number in range(5):
                save_image(root / split / name / f'{number}.jpg')


def samples_of(path):
    """Check a config as a training does, and give the first sample of each of its data sets."""
    cfg = load_config(str(path))
    check_config(cfg, 'train')
    samples = {}
    with DATASETS.switch_scope_and_registry(cfg.default_scope) as registry:
        for name in ('train', 'val', 'test'):
            dataset = cfg[f'{name}_dataloader'].dataset
            check_data(dataset, name)
            samples[name] = registry.build(dataset)[0]
    return cfg, samples


def test_label_maps(init, tmp_path):
    root = tmp_path / 'mine'
    save_pairs(root, 'abcdefghij', np.uint8([0, 1, 2, 11]))
    words = ('seg', '--from', '../mine', '--void', 11, '--classes', 'sky', 'road', 'car')
    status, out, err = init(*words)
    config = tmp_path / 'elsewhere' / 'mine_seg.py'
    assert (status, err) == (0, '')
    assert out.splitlines() == [
        f'{root}: seg',
        'images: 8 train, 2 val; all 48x32',
        'classes: 3 (sky, road, car)',
        'splits: none; every fifth image validates',
        'labels: 0, 1, 2',
        'no label: 11 (25.0% of the pixels)',
        f'wrote {config.with_name("mine_seg_train.txt")}',
        f'wrote {config.with_name("mine_seg_val.txt")}',
        f'wrote {config}',
        f'next: mmattn train {config} --smoke, then mmattn train {config} --auto-scale-lr',
    ]
    about, text = config.read_text().split('_base_', 1)
    assert ' '.join(about.replace('#', ' ').split()) == (
        'mine: images: 8 train, 2 val; all 48x32; classes: 3 (sky, road, car). Written by mmattn '
        f'data init seg --from {root}'
    )
    assert '_base_' + text == SEG.format(root=tmp_path, configs=ROOT / 'configs')

    cfg, samples = samples_of(config)
    labels = samples['val']['data_samples'].gt_sem_seg.data
    assert set(labels.unique().tolist()) == {0, 1, 2, 255}
    # An image that was made small is smaller.
    assert max(samples['train']['inputs'].shape[1:]) <= 32
    assert cfg.train_dataloader.dataset.type == 'BaseSegDataset'
    status, _, err = init(*words)
    assert (status, err) == (
        1,
        f'error: {config} is there already; give the config another name: --out CONFIG.py\n',
    )


def test_boxes(init, tmp_path):
    root = tmp_path / 'boxes'
    save_boxes(root)
    status, out, err = init('det', '--from', root)
    config = tmp_path / 'elsewhere' / 'boxes_det.py'
    assert (status, err) == (0, '')
    assert out.splitlines()[3:6] == [
        'annotations: train.json, val.json',
        'boxes to train on: cat 2, dog 2',
        'outlines: none, or not of every object',
    ]
    text = config.read_text()
    assert text[text.index('_base_') :] == DET.format(root=tmp_path, configs=ROOT / 'configs')
    _, samples = samples_of(config)
    assert samples['train']['data_samples'].gt_instances.labels.tolist() == [0]


def test_class_folders(init, tmp_path):
    root = tmp_path / 'pets'
    save_folders(root)
    status, _, err = init('cls', '--from', root, '--base', 'mobilenetv2_w050_in1k')
    config = tmp_path / 'elsewhere' / 'pets_cls.py'
    assert (status, err) == (0, '')
    text = config.read_text()
    assert text[text.index('_base_') :] == CLS.format(root=tmp_path, configs=ROOT / 'configs')
    cfg, samples = samples_of(config)
    assert samples['val']['data_samples'].gt_label.tolist() == [0]
    assert cfg.val_evaluator.topk == (1,)


@pytest.mark.parametrize(
    ('base', 'lines'),
    [
        (
            'cascade_mask_rcnn_van_b2_fpn_3x_coco',
            [
                '        mask_head=dict(num_classes=num_classes),',
                '        bbox_head=[dict(part, num_classes=num_classes) for part in '
                '_base_.model.roi_head.bbox_head],',
            ],
        ),
        (
            'yolox_s-coordatt-insert_300e_coco',
            ['model = dict(bbox_head=dict(num_classes=num_classes))'],
        ),
        (
            'ssdlite320_mobilenetv2-cbam_coco',
            ['train_cfg = dict(max_iters=max_iters, val_interval=max_iters // 10)'],
        ),
    ],
)
def test_detectors(init, tmp_path, base, lines):
    root = tmp_path / 'boxes'
    save_boxes(root)
    if 'mask' in base:
        for path in root.glob('*.json'):
            outline = '"segmentation": [[4, 4, 44, 4, 44, 28]], "bbox"'
            path.write_text(path.read_text().replace('"bbox"', outline))
    status, _, err = init('det', '--from', root, '--base', base, '--out', 'a.py')
    assert (status, err) == (0, '')
    config = tmp_path / 'elsewhere' / 'a.py'
    assert set(lines) <= set(config.read_text().splitlines())
    cfg, _ = samples_of(config)

    def counts(node):
        if isinstance(node, dict):
            own = [node['num_classes']] if 'num_classes' in node else []
            return own + [count for value in node.values() for count in counts(value)]
        return [n for value in node for n in counts(value)] if isinstance(node, list) else []

    assert set(counts(cfg.model)) == {2}


@pytest.mark.parametrize(
    'base', ['upernet-coordatt-insert_r50_ade20k', 'deeplabv3_mobilenetv2_d8-cbam_voc12aug']
)
def test_segmentors(init, tmp_path, base):
    save_pairs(tmp_path / 'bin', 'abc', np.uint8([0, 255]), '{}.jpg', '{}_mask.png')
    status, _, err = init('seg', '--from', tmp_path / 'bin', '--base', base, '--out', 'a.py')
    assert (status, err) == (0, '')
    cfg, samples = samples_of(tmp_path / 'elsewhere' / 'a.py')
    head = cfg.model.decode_head
    assert head.get('host', head).num_classes == 2
    assert set(samples['val']['data_samples'].gt_sem_seg.data.unique().tolist()) == {0, 1}


def test_colours_and_a_test_split(init, tmp_path):
    root = tmp_path / 'rgb'
    for split in ('train', 'val', 'test'):
        for name in 'ab':
            save_image(root / split / 'images' / f'{name}.jpg', (1024, 700))
            save_map(
                root / split / 'masks' / f'{name}.png',
                np.uint8([[0, 0, 0], [9, 0, 0], [0, 0, 9]]),
                (1024, 700),
            )
    status, _, err = init('seg', '--from', root, '--void', '0,0,0', '--classes', 'blue', 'red')
    assert (status, err) == (0, '')
    config = tmp_path / 'elsewhere' / 'rgb_seg.py'
    assert [line for line in config.read_text().splitlines() if 'palette' in line] == [
        "metainfo = dict(classes=('blue', 'red'), palette=[[0, 0, 9], [9, 0, 0]])",
        "    palette=[*metainfo['palette'], [0, 0, 0]],",
    ]
    cfg, samples = samples_of(config)
    assert set(samples['val']['data_samples'].gt_sem_seg.data.unique().tolist()) == {0, 1, 255}
    # Large images are read at the size of the shipped config.
    assert cfg.crop_size == (512, 512)
    assert cfg.test_dataloader.dataset.data_prefix.img_path == 'test/images'


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (
            ['seg', '--from', 'nowhere'],
            '{here}/nowhere is not a folder; give the folder of your data',
        ),
        (['seg', '--from', '.'], '{here} is empty; give the folder of your data'),
        (
            ['seg', '--from', '../boxes'],
            '{root}/boxes has no label maps: 6 images (in images), COCO annotations (train.json); '
            'expected folders such as images and masks (or annotations, labels), or files such as '
            'a.jpg and a_mask.png; for boxes: mmattn data init det --from {root}/boxes',
        ),
        (
            ['cls', '--from', '../boxes'],
            '{root}/boxes has no class folders: 6 images (in images), COCO annotations '
            '(train.json); expected train/NAME/*.jpg and val/NAME/*.jpg, or NAME/*.jpg, for two '
            'names or more; for boxes: mmattn data init det --from {root}/boxes',
        ),
        (
            ['det', '--from', '../boxes', '--base', 'mask_rcnn_van_b0_fpn_1x_coco'],
            '--base {configs}/det/mask_rcnn_van_b0_fpn_1x_coco.py learns outlines, which not every '
            'object of the data has; give one that learns boxes, such as '
            'retinanet_van_b0_fpn_1x_coco',
        ),
        (
            ['det', '--from', '../boxes', '--base', 'ssdlite320_mobilenetv2-cbam_voc0712'],
            '--base {configs}/det/ssdlite320_mobilenetv2-cbam_voc0712.py reads with VOCDataset and '
            'measures with VOCMetric; expected one with CocoDataset and CocoMetric',
        ),
        (
            ['det', '--from', '../boxes', '--base', 'van_b0_in1k'],
            '--base {configs}/cls/van_b0_in1k.py is written for mmpretrain, det needs one for '
            'mmdet',
        ),
        (
            ['det', '--from', '../boxes', '--base', 'van_b0_in'],
            '--base van_b0_in is neither a file nor a config in {configs}; did you mean '
            'van_b0_in1k?',
        ),
        (['det', '--from', '../boxes', '--void', '3'], '--void is for label maps; det has none'),
        (['det', '--from', '../boxes', '--out', 'a.txt'], '--out {here}/a.txt has to end in .py'),
        (
            ['det', '--from', '../boxes', '--out', 'b/a.py'],
            '{here}/b is not a folder; make it first',
        ),
        (
            ['det', '--from', '../boxes', '--classes', 'cat', 'cat'],
            '--classes has a name twice: cat cat',
        ),
    ],
    ids=lambda value: ' '.join(value) if isinstance(value, list) else '',
)
def test_one_line(init, tmp_path, words, message):
    save_boxes(tmp_path / 'boxes')
    status, out, err = init(*words)
    here = tmp_path / 'elsewhere'
    message = message.format(here=here, root=tmp_path, configs=ROOT / 'configs')
    assert (status, out, err) == (1, '', f'error: {message}\n')
    assert not any(here.iterdir())


def test_smoke_reads_the_own_data(init, tmp_path):
    root = tmp_path / 'mine'
    save_pairs(root, 'abcdefgh', np.uint8([0, 255]))
    base = ('--base', 'upernet_van_tiny_ade20k', '--out', 'a.py')
    assert init('seg', '--from', root, *base)[0] == 0
    config = tmp_path / 'elsewhere' / 'a.py'
    before = sorted(root.rglob('*'))
    smoke = (config, '--smoke', '--device', 'cpu', '--work-dir', tmp_path / 'run')
    done = run(ROOT / 'tools' / 'train.py', *smoke, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f'smoke run on the first images of {root}' in done.stdout
    assert '| foreground |' in done.stdout
    assert sorted(root.rglob('*')) == before
