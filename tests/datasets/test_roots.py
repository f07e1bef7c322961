import copy

import pytest
from mmengine.config import Config

from mmattn.cli.options import use_data_root
from mmattn.datasets.roots import move_data
from mmattn.errors import InputError
from tests.configs.leaves import datasets, named, read


def config(*roots, wrapper=None):
    """A training on several data sets, and a validation on the first one."""
    inner = [dict(type='CocoDataset', data_root=root, ann_file='a.json') for root in roots]
    dataset = inner[0]
    if wrapper == 'ConcatDataset':
        dataset = dict(type='ConcatDataset', datasets=inner)
    elif wrapper:
        dataset = dict(type=wrapper, dataset=inner[0])
    loader = dict(dataset=inner[0])
    return Config(dict(train_dataloader=dict(dataset=dataset), val_dataloader=loader))


def message(cfg, root, mode='train'):
    with pytest.raises(InputError) as caught:
        use_data_root(cfg, str(root), mode)
    return str(caught.value)


@pytest.mark.parametrize(
    'wrapper',
    [
        *(None, 'RepeatDataset', 'ConcatDataset', 'ClassBalancedDataset', 'MultiImageMixDataset'),
        'KFoldDataset',
    ],
)
def test_every_wrapper_is_looked_into(tmp_path, wrapper):
    cfg = config('data/coco/', './data/coco', wrapper=wrapper)
    use_data_root(cfg, str(tmp_path), 'train')
    found = [d.data_root for d in datasets(cfg.train_dataloader.dataset)]
    assert [root.rstrip('/') for root in found] == [str(tmp_path)] * len(found)
    assert cfg.val_dataloader.dataset.data_root == f'{tmp_path}/'


@pytest.mark.parametrize(
    ('old', 'new'),
    [
        ('data/coco/annotations/a.json', '/x/annotations/a.json'),
        ('./data/coco/', '/x/'),
        # Others that only begin alike, or name no path.
        ('data/coco_val/a.json', 'data/coco_val/a.json'),
        ('coco', 'coco'),
    ],
)
def test_paths_at_or_below_the_old_folder_are_moved(old, new):
    cfg = Config(dict(val_evaluator=dict(ann_file=old), bases=[dict(files=(old, 1))]))
    move_data(cfg, 'data/coco/', '/x')
    assert cfg.val_evaluator.ann_file == new and cfg.bases[0].files == (new, 1)


def test_a_root_of_one_word_is_no_other_word():
    cfg = config('data')
    cfg.val_evaluator = dict(prefix='data', ann_file='data/a.json')
    move_data(cfg, 'data', '/x/')
    assert cfg.val_dataloader.dataset.data_root == '/x'
    assert cfg.val_evaluator == dict(prefix='data', ann_file='/x/a.json')


def test_what_a_data_set_joins_to_its_root_stays(tmp_path):
    cfg = config('data')
    dataset = cfg.val_dataloader.dataset
    dataset.update(data_prefix=dict(img='data/a'), ann_file='data/a.json', box_file='data/b.json')
    cfg.train_dataloader.dataset.data_prefix = dict(img='/data/a')
    move_data(cfg, 'data', '/x')
    dataset = cfg.val_dataloader.dataset
    assert (dataset.data_prefix.img, dataset.ann_file) == ('data/a', 'data/a.json')
    assert dataset.box_file == '/x/b.json'
    cfg = config('/data/own')
    cfg.val_dataloader.dataset.data_prefix = dict(img='/data/own/a')
    move_data(cfg, '/data/own', '/x')
    assert cfg.val_dataloader.dataset.data_prefix.img == '/x/a'


def test_where_results_go_is_no_data():
    cfg = Config(dict(work_dir='data/coco/run', load_from='data/coco/a.pth'))
    move_data(cfg, 'data/coco', '/x')
    assert (cfg.work_dir, cfg.load_from) == ('data/coco/run', 'data/coco/a.pth')


def test_several_folders(tmp_path):
    cfg = config('data/a', 'data/b', wrapper='ConcatDataset')
    assert message(cfg, tmp_path) == (
        '--data-root takes the place of one folder, and the config reads from 2: '
        'data/a (train_dataloader.dataset.datasets.0.data_root), '
        'data/b (train_dataloader.dataset.datasets.1.data_root); set each with --cfg-options '
        'KEY=DIR'
    )


def test_no_folder(tmp_path):
    assert message(config(None), tmp_path) == (
        '--data-root takes the place of data_root, and no data set of the config has one; set its '
        'paths with --cfg-options'
    )
    assert message(config('a'), tmp_path / 'nope') == (
        f'--data-root {tmp_path}/nope is not a folder; check the path'
    )


def test_only_what_is_read_has_to_be_in_one_folder(tmp_path):
    cfg = config('data/a')
    cfg.test_dataloader = dict(dataset=dict(type='CocoDataset', data_root='data/b'))
    use_data_root(cfg, str(tmp_path), 'test')
    assert cfg.test_dataloader.dataset.data_root == str(tmp_path)
    assert cfg.train_dataloader.dataset.data_root == 'data/a'


def test_a_folder_on_a_network(tmp_path):
    cfg = config('data/a')
    use_data_root(cfg, 's3://bucket/a/', 'train')
    assert cfg.val_dataloader.dataset.data_root == 's3://bucket/a'


@pytest.mark.parametrize('below', ['', 'VOC2012'])
def test_voc_is_found_below_its_folder_or_given_itself(tmp_path, below):
    (tmp_path / 'VOC2012').mkdir()
    cfg = copy.deepcopy(read(named('seg', 'deeplabv3_mobilenetv2_d16_voc12aug')))
    use_data_root(cfg, str(tmp_path / below), 'train')
    assert cfg.val_dataloader.dataset.data_root == str(tmp_path / 'VOC2012')
