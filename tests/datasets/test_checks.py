import shutil
from pathlib import Path

import pytest
from mmengine.config import Config

from mmattn.datasets.benchmarks import find_reader
from mmattn.datasets.checks import check_data, check_evaluator
from mmattn.datasets.names import visible
from mmattn.datasets.synthetic.tiny_ade20k import make_tiny_ade20k
from mmattn.errors import InputError


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    root = tmp_path_factory.mktemp('tiny') / 'ade'
    make_tiny_ade20k(root, train=3, val=1, size=(32, 32))
    return root


@pytest.fixture
def root(tiny, tmp_path):
    shutil.copytree(tiny, tmp_path / 'ade')
    return tmp_path / 'ade'


def dataset(root):
    prefix = dict(img_path='images/training', seg_map_path='annotations/training')
    return dict(type='ADE20KDataset', data_root=str(root), data_prefix=prefix)


def test_a_whole_data_set_passes(root):
    check_data(dataset(root), 'd')
    check_data(dict(type='RepeatDataset', times=50, dataset=dataset(root)), 'd')
    check_data(dict(type='ConcatDataset', datasets=[dataset(root), dataset(root)]), 'd')


def test_missing_root(tmp_path):
    with pytest.raises(
        InputError, match=r'd\.data_root .*nope is not a folder; .*make_tiny_dataset'
    ):
        check_data(dataset(tmp_path / 'nope'), 'd')


def test_wrappers_are_looked_into(tmp_path):
    inner = dict(type='ConcatDataset', datasets=[dataset(tmp_path / 'nope')])
    with pytest.raises(
        InputError, match=r'd\.dataset\.datasets\.0\.data_root .*nope is not a folder'
    ):
        check_data(dict(type='RepeatDataset', dataset=inner), 'd')


@pytest.mark.parametrize(
    'file',
    [
        'index_ade20k.pkl',
        'images/ADE/training/nature/beach/ADE_train_00000001.jpg',
        'images/training/b/beach/ADE_train_00000001_seg.png',
    ],
)
def test_full_release(tmp_path, file):
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).touch()
    with pytest.raises(
        InputError, match='is the full ADE20K release; expected the benchmark ADEChallenge'
    ):
        check_data(dataset(tmp_path), 'd')


def test_another_folder(tmp_path):
    with pytest.raises(InputError, match='has no folders images and annotations'):
        check_data(dataset(tmp_path), 'd')


def test_a_split_is_missing(root):
    shutil.rmtree(root / 'images' / 'training')
    with pytest.raises(InputError, match=r'd\.data_prefix\.img_path .*training is not a folder'):
        check_data(dataset(root), 'd')


def test_no_images(root):
    for path in (root / 'images' / 'training').iterdir():
        path.rename(path.with_suffix('.jpeg'))
    with pytest.raises(InputError, match=r'images/training holds no \*\.jpg file'):
        check_data(dataset(root), 'd')


def test_a_map_is_missing(root):
    (root / 'annotations' / 'training' / 'ADE_train_00000002.png').unlink()
    with pytest.raises(InputError, match=r'1 of 3 images .*ADE_train_00000002\.png does not exist'):
        check_data(dataset(root), 'd')


def test_annotation_file_is_missing(root):
    with pytest.raises(InputError, match=r'd\.ann_file .*split\.txt does not exist'):
        check_data({**dataset(root), 'ann_file': 'split.txt'}, 'd')


# Configs as the projects ship them, but for `data_root`.
CONFIGS = {
    'coco': dict(
        type='CocoDataset',
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
    ),
    'panoptic': dict(
        type='mmdet.CocoPanopticDataset',
        ann_file='annotations/panoptic_val2017.json',
        data_prefix=dict(img='val2017/', seg='annotations/panoptic_val2017/'),
    ),
    'voc detection': dict(
        type='VOCDataset',
        ann_file='VOC2007/ImageSets/Main/trainval.txt',
        data_prefix=dict(sub_data_root='VOC2007/'),
    ),
    'voc segmentation': dict(
        type='PascalVOCDataset',
        ann_file='ImageSets/Segmentation/aug.txt',
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassAug'),
    ),
    'camvid': dict(type='CamVidDataset', data_prefix=dict(img_path='val', seg_map_path='valannot')),
    'cityscapes': dict(
        type='CityscapesDataset',
        data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
    ),
    'cub': dict(type='CUB', split='train'),
    'imagenet': dict(type='ImageNet', split='train'),
    'imagenet with prefix': dict(type='ImageNet', data_prefix='val', ann_file='meta/val.txt'),
    'imagenet21k': dict(type='ImageNet21k', data_prefix='train', ann_file='meta/train.txt'),
    'imagenet21k by folders': dict(type='ImageNet21k', split='train'),
}


@pytest.fixture(scope='module')
def generated(tmp_path_factory):
    folder = tmp_path_factory.mktemp('generated')
    for benchmark in {find_reader(cfg)[0] for cfg in CONFIGS.values()}:
        benchmark.make(folder / benchmark.name, train=3, val=2, size=(32, 32))
    return folder


@pytest.fixture
def config(generated, tmp_path):
    """Give a config whose data may be damaged."""

    def config_of(name):
        cfg = CONFIGS[name]
        benchmark, reader = find_reader(cfg)
        root = shutil.copytree(generated / benchmark.name, tmp_path / 'root')
        return {**cfg, 'data_root': str(root / reader.root)}

    return config_of


@pytest.mark.parametrize('name', CONFIGS)
def test_generated_data_passes(name, config):
    check_data(config(name), 'd')


@pytest.mark.parametrize(
    ('name', 'removed', 'message'),
    [
        ('coco', 'train2017', r'd\.data_prefix\.img .*train2017 is not a folder; expected a fol'),
        ('coco', 'annotations', r'd\.ann_file .*instances_train2017\.json does not exist; expec'),
        ('panoptic', 'annotations/panoptic_val2017', r'd\.data_prefix\.seg .*is not a folder'),
        ('panoptic', 'val2017/*', r'd\.data_prefix\.img .*val2017 is empty; expected'),
        ('voc detection', 'VOC2007', r'd\.data_prefix\.sub_data_root .*VOC2007 is not a folder'),
        ('voc detection', 'VOC2007/ImageSets', r'd\.ann_file .*trainval\.txt does not exist; exp'),
        (
            'voc detection',
            'VOC2007/Annotations/000002.xml',
            r'1 of 5 files that d\.ann_file asks .*Annotations/000002\.xml does not exist; compl',
        ),
        ('voc detection', 'VOC2007/JPEGImages/*', r'5 of 5 files that .*000001\.jpg does not exi'),
        (
            'voc segmentation',
            'SegmentationClassAug/2012_600002.png',
            r'1 of 3 images in .*Aug/2012_600002\.png does not exist; complete',
        ),
        ('voc segmentation', 'JPEGImages/2012_6*', r'3 of 3 files that d\.ann_file asks for are'),
        ('camvid', 'valannot/*1.png', r'1 of 2 images in .*val have no segmentation map: .*valan'),
        ('camvid', 'val/*', r'd\.data_prefix\.img_path .*val is empty; expected the folder CamVid'),
        (
            'cityscapes',
            'gtFine/train/*/*_000002_*_labelTrainIds.png',
            r'1 of 3 images .*labelTrainIds\.png does not exist; make it with .*cityscapes\.py',
        ),
        (
            'cityscapes',
            'gtFine/train/*/*_000002_*.png',
            r'1 of 3 images .*labelTrainIds\.png does not exist; complete the data set',
        ),
        ('cityscapes', 'leftImg8bit/train/*/*', r'train holds no \*_leftImg8bit\.png file'),
        ('cub', 'images.txt', r'd: .*images\.txt does not exist; expected the folder CUB_200_'),
        ('cub', 'images/001*/*', r'd: .*images\.txt lists 001.*jpg, but .* does not exist; com'),
        ('imagenet', 'train', r'd\.data_prefix\.img_path .*train is not a folder; expected'),
        ('imagenet', 'meta', r'd: .*train has 3 folders of classes, expected 1000, or a list of'),
        ('imagenet', 'train/n02690373/*', r'd: .*train\.txt lists n02690373/n0.* does not exist'),
        ('imagenet21k', 'meta', r'd\.ann_file .*train\.txt does not exist; expected'),
        ('imagenet21k', 'train/n02690373/*', r'd: .*train\.txt lists n02690373/n0.* does not exi'),
        ('imagenet21k by folders', 'meta', r'd: .*train has 3 folders of .*, expected 21841, or '),
        ('imagenet with prefix', 'meta', r'd\.ann_file .*val\.txt does not exist; expected'),
    ],
)
def test_something_is_missing(name, removed, message, config):
    cfg = config(name)
    found = list(Path(cfg['data_root']).glob(removed))
    assert found
    for path in found:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(InputError, match=message):
        check_data(cfg, 'd')


def test_an_empty_list(config):
    cfg = config('voc segmentation')
    Path(cfg['data_root'], cfg['ann_file']).write_text('')
    with pytest.raises(InputError, match=r'd\.ann_file .*aug\.txt lists no image'):
        check_data(cfg, 'd')


@pytest.mark.parametrize('name', ['voc detection', 'voc segmentation', 'imagenet with prefix'])
@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        (b'a 1\n\n', 'line 2 is empty; remove it'),
        (
            b'\xef\xbb\xbfa 1\n',
            'it starts with a byte order mark; save it as UTF-8 without one',
        ),
        (
            b'a\xff 1\n',
            "'utf-8' codec can't decode byte 0xff in position 1: invalid start byte",
        ),
    ],
    ids=['empty line', 'byte order mark', 'no text'],
)
def test_a_list_that_is_none(name, content, reason, config):
    cfg = config(name)
    path = Path(cfg['data_root'], cfg['ann_file'])
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        check_data(cfg, 'd')
    start = f'd.ann_file {path} is no list of images, one in each line: '
    assert str(error.value) == start + reason


@pytest.mark.parametrize('line', ['a.jpg', 'a.jpg one', 'a.jpg -1', 'a.jpg\t0'])
def test_a_line_without_a_class(line, config):
    cfg = config('imagenet with prefix')
    path = Path(cfg['data_root'], cfg['ann_file'])
    count = path.read_text().count('\n')
    path.write_text(f'{path.read_text()}{line}\n')
    with pytest.raises(InputError) as error:
        check_data(cfg, 'd')
    assert str(error.value) == (
        f'd.ann_file {path}: line {count + 1} is {visible(line)!r}; expected the name of an '
        'image, a blank and the number of its class'
    )


@pytest.mark.parametrize(
    ('name', 'added', 'message'),
    [
        (
            'images.txt',
            'x y z\n',
            r"images\.txt is no list of CUB: line 6 is 'x y z'; expected a n",
        ),
        ('images.txt', '1 a/b.jpg\n', r'line 6 has the number 1 again'),
        (
            'images.txt',
            '6 a/b.jpg\n',
            r'labels\.txt and images\.txt do not have .*, such as 6; com',
        ),
        ('train_test_split.txt', '6 1\n', r'split\.txt and images\.txt do not have .*, such as 6'),
    ],
)
def test_lists_of_cub_that_do_not_fit(name, added, message, config):
    cfg = config('cub')
    path = Path(cfg['data_root'], name)
    path.write_text(path.read_text() + added)
    with pytest.raises(InputError, match=message):
        check_data(cfg, 'd')


def test_a_name_of_cub_that_leads_out(config):
    cfg = config('cub')
    path = Path(cfg['data_root'], 'images.txt')
    path.write_text(path.read_text().replace('1 001', '1 ../001', 1))
    with pytest.raises(InputError, match=r'lists \.\./001.*, which leads out of the data set'):
        check_data(cfg, 'd')


def test_hidden_files_are_left_out(root):
    for folder in ('images', 'annotations'):
        for name in ('._ADE_train_00000001.jpg', '._x.png', '.DS_Store'):
            (root / folder / 'training' / name).touch()
    check_data(dataset(root), 'd')


def test_the_class_itself_may_be_the_type(config):
    class CocoDataset:
        pass

    cfg = {**config('coco'), 'type': CocoDataset}
    check_data(cfg, 'd')
    shutil.rmtree(Path(cfg['data_root'], 'train2017'))
    with pytest.raises(InputError, match='make_tiny_dataset.py coco'):
        check_data(cfg, 'd')


def test_data_on_a_network_is_not_looked_at():
    check_data({**CONFIGS['coco'], 'data_root': 's3://bucket/coco/'}, 'd')


@pytest.mark.parametrize(
    ('wrap', 'key'),
    [
        (lambda metric: metric, 'val_evaluator'),
        (lambda metric: [dict(type='DumpResults'), metric], 'val_evaluator.1'),
        (lambda metric: dict(type='Evaluator', metrics=[metric]), 'val_evaluator.metrics.0'),
    ],
    ids=['one', 'several', 'an evaluator'],
)
def test_the_file_that_a_metric_reads(config, tmp_path, wrap, key):
    def remarks(path):
        evaluator = wrap(dict(type='CocoMetric', ann_file=str(path)))
        loader = dict(dataset=dict(type='RepeatDataset', dataset=dataset))
        return list(
            check_evaluator(Config({'val_dataloader': loader, 'val_evaluator': evaluator}), 'val')
        )

    dataset = config('coco')
    own = Path(dataset['data_root'], dataset['ann_file'])
    reads = f'val_dataloader.dataset reads {own}'
    with pytest.raises(InputError) as caught:
        remarks(tmp_path / 'nope.json')
    assert str(caught.value) == (
        f'{key}.ann_file {tmp_path}/nope.json does not exist; {reads}, and --data-root DIR moves '
        'both'
    )
    shutil.copy(own, tmp_path / 'copy.json')
    assert remarks(own) == remarks(tmp_path / 'copy.json') == remarks('s3://a/b.json') == []
    other = own.with_name('instances_val2017.json')
    assert remarks(other) == [
        f'{key}.ann_file {other} is another file than that of the data: {reads}'
    ]
