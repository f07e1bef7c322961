"""Data sets are looked at as a config reads them."""

import json

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS
from PIL import Image

from mmattn.cli import data_check
from mmattn.cli.main import start
from mmattn.datasets.audit.config import plan_config
from mmattn.datasets.audit.run import carry_out
from mmattn.errors import InputError
from tests.datasets.audit.drawn import KINDS


@pytest.fixture
def drawn(tmp_path):
    def draw(name):
        KINDS[name].draw(tmp_path, np.random.default_rng(0))
        return KINDS[name].config(tmp_path)

    return draw


def change_json(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def look(cfg):
    return carry_out(plan_config(cfg), workers=1)


def test_every_data_set_is_found_through_wrappers_and_once(drawn):
    cfg = drawn('ade20k')
    train, val = cfg.train_dataloader.dataset, cfg.val_dataloader.dataset
    both = dict(type='ConcatDataset', datasets=[train, dict(train, indices=2)])
    cfg.train_dataloader.dataset = dict(type='RepeatDataset', times=9, dataset=both)
    # What is exchanged for our loader reads the same.
    stock = dict(type='LoadImageFromFile', imdecode_backend='pillow')
    steps = [stock, val.pipeline[1], dict(type='LoadAnnotations'), val.pipeline[3]]
    cfg.test_dataloader = dict(dataset=dict(val, pipeline=steps))
    report = look(Config(cfg.to_dict()))
    assert str(report).splitlines() == [
        'note: train_dataloader.dataset.dataset.datasets.0: ADE20KDataset, 3 images',
        'note: train_dataloader.dataset.dataset.datasets.1: ADE20KDataset, 2 images',
        'note: val_dataloader.dataset: ADE20KDataset, 2 images',
        'checked 7 images: 0 faults',
    ]


def test_nothing_is_left_to_read(drawn, tmp_path):
    cfg = drawn('folders')
    cfg.train_dataloader.dataset.img_suffix = '.jpg'
    report = look(cfg)
    assert report.faults == [
        (
            'empty data set',
            'train_dataloader.dataset: of BaseSegDataset, nothing is left to read',
            False,
        )
    ]
    path = f'{tmp_path}/img/train/a b/ü0.png'
    assert ('image that is not read', f'{path}: only *.jpg are', True) in report.warnings


def test_labels_are_those_of_the_classes_of_the_config(drawn, tmp_path):
    cfg = drawn('folders')
    cfg.train_dataloader.dataset.metainfo = dict(classes=('a', 'b'))
    faults = look(cfg).faults
    assert {fault.kind for fault in faults} == {'label out of range'}
    assert faults[0].place == f'{tmp_path}/img/train/a b/ü0.png: 2 of 2 classes'
    # What the model ignores is no label.
    cfg.model = dict(decode_head=dict(loss_decode=dict(ignore_index=2)))
    assert look(cfg).faults == []


def test_masks_are_looked_at_where_they_are_trained(drawn, tmp_path):
    boxes, masks = drawn('coco boxes'), KINDS['coco masks'].config(tmp_path)
    source = tmp_path / 'annotations' / 'instances_train2017.json'
    change_json(source, lambda content: content['annotations'][1].pop('segmentation'))
    assert look(boxes).faults == []
    [fault] = look(masks).faults
    assert fault == (
        'missing mask',
        f'{source}: annotation 2 of 000000000001.jpg: segmentation is None',
        False,
    )


@pytest.mark.parametrize('key', ['iscrowd', 'area'])
def test_a_file_that_is_measured_against_alone(key, drawn, tmp_path):
    cfg = drawn('coco boxes')
    other = tmp_path / 'other.json'
    other.write_text((tmp_path / 'annotations' / 'instances_val2017.json').read_text())
    cfg.val_evaluator.ann_file = str(other)
    assert look(cfg).faults == []
    change_json(other, lambda content: content['annotations'][0].pop(key))
    [fault] = look(cfg).faults
    assert fault == (
        'incomplete entry',
        f'{other}: annotation 1 of 000000000001.jpg: {key} is None',
        False,
    )
    other.unlink()
    [fault] = look(cfg).faults
    assert fault.kind == 'unreadable annotation file'


def test_what_a_filter_leaves_out_is_not_looked_at(drawn, tmp_path):
    cfg = drawn('coco boxes')
    source = tmp_path / 'annotations' / 'instances_train2017.json'
    unread = dict(id=9, file_name='none.jpg', width=40, height=32)
    change_json(source, lambda content: content['images'].append(unread))
    [fault] = look(cfg).faults
    assert fault.kind == 'missing image'
    cfg.train_dataloader.dataset.filter_cfg = dict(filter_empty_gt=True)
    assert look(cfg).faults == []


def test_pixels_are_judged_by_who_reads_them(drawn, tmp_path):
    cfg = drawn('classes')
    path = tmp_path / 'train' / 'dog' / '0.jpg'
    Image.fromarray(np.tile(np.linspace(0, 65535, 40), (32, 1)).astype(np.uint16)).save(path, 'PNG')
    assert look(cfg).faults == []
    stock = dict(type='LoadImageFromFile', imdecode_backend='pillow')
    cfg.train_dataloader.dataset.pipeline[0] = stock
    [fault] = look(cfg).faults
    assert fault == (
        'pixels of too many bits',
        f'{path}: 16-bit pixels, which Pillow cuts off at 255; read it with LoadImage',
        False,
    )


def test_what_a_training_may_leave_out_is_a_fault(drawn, tmp_path):
    cfg = drawn('classes')
    cfg.train_dataloader.dataset.pipeline[0] = dict(type='LoadImage', max_skips=9)
    (tmp_path / 'train' / 'dog' / '0.jpg').write_bytes(b'none')
    assert [fault.kind for fault in look(cfg).faults] == ['unreadable image']


def test_a_hidden_folder_is_a_class(drawn, tmp_path):
    cfg = drawn('classes')
    (tmp_path / 'train' / '.ipynb_checkpoints').mkdir()
    report = look(cfg)
    folder = f'{tmp_path}/train/.ipynb_checkpoints'
    assert report.faults == [
        ('hidden folder that counts as a class', f'{folder}: remove it', False),
    ]
    assert report.warnings == [('class without images', folder, True)]


def test_a_data_set_of_ones_own_is_loaded(drawn, tmp_path):
    from mmseg.datasets import BaseSegDataset

    @DATASETS.register_module(force=True)
    class Listed(BaseSegDataset):
        def load_data_list(self):
            return [dict(one, number=1) for one in super().load_data_list()]

    cfg = drawn('folders')
    cfg.train_dataloader.dataset.type = 'Listed'
    assert look(cfg).faults == []
    path = tmp_path / 'ann' / 'train' / 'a b' / 'ü1.png'
    path.unlink()
    [fault] = look(cfg).faults
    assert fault == ('missing label map', str(path), False)


def test_files_that_a_backend_reads_are_loaded_only(drawn, tmp_path):
    cfg = drawn('coco boxes')
    dataset = cfg.train_dataloader.dataset
    dataset.backend_args = dict(backend='local')
    dataset.pipeline[0] = dict(type='LoadImage', backend_args=dict(backend='local'))
    assert look(cfg).faults == []
    path = tmp_path / 'train2017' / '000000000001.jpg'
    path.write_bytes(b'none')
    [fault] = look(cfg).faults
    assert fault.kind == 'sample that cannot be loaded'
    assert fault.place.startswith(f'{path}: image {path} cannot be read (')


def test_names_may_lead_elsewhere_in_ones_own_config(drawn, tmp_path):
    cfg = drawn('coco boxes')
    for split in ('train', 'val'):
        source = tmp_path / 'annotations' / f'instances_{split}2017.json'
        change_json(
            source,
            lambda content, split=split: [
                image.update(file_name=str(tmp_path / f'{split}2017' / image['file_name']))
                for image in content['images']
            ],
        )
    report = look(cfg)
    assert report.faults == []
    assert [fault.kind for fault in report.warnings] == 5 * ['name outside its folder']
    (tmp_path / 'train2017' / '000000000001.jpg').unlink()
    assert [fault.kind for fault in look(cfg).faults] == ['missing image']


def test_nothing_to_look_at(drawn, tmp_path):
    path = tmp_path / 'a.py'
    path.write_text("model = dict(type='X')\n")
    with pytest.raises(InputError) as error:
        plan_config(Config.fromfile(path))
    assert str(error.value) == (
        f'config {path} has no data: no train_dataloader, val_dataloader or test_dataloader'
    )
    cfg = drawn('classes')
    cfg.train_dataloader.dataset.type = 'Nope'
    with pytest.raises(InputError) as error:
        plan_config(cfg)
    assert str(error.value) == (
        'config: train_dataloader.dataset.type Nope is no data set that is registered'
    )


def run(capsys, *words):
    with pytest.raises(SystemExit) as end:
        start(data_check, [*map(str, words), '--workers', '1'])
    return end.value.code, *capsys.readouterr()


def test_command_with_a_config(drawn, tmp_path, capsys):
    cfg = drawn('voc boxes')
    cfg.dump(tmp_path / 'own.py')
    (tmp_path / 'VOC2012' / 'JPEGImages' / 'train_0.jpg').unlink()
    root = tmp_path / 'VOC2012'
    xml = root / 'Annotations' / 'train_1.xml'
    xml.write_text(xml.read_text().replace('dog', 'tree'))
    assert run(capsys, tmp_path / 'own.py') == (
        1,
        'note: train_dataloader.dataset: VOCDataset, 3 images\n'
        'note: val_dataloader.dataset: VOCDataset, 2 images\n'
        'warning: unknown category: 1\n'
        f'  {xml}: object 2, tree\n'
        'missing image: 1\n'
        f'  {root}/JPEGImages/train_0.jpg\n'
        'checked 5 images: 1 fault, 1 warning\n',
        ''.join(f'checked {number}/5 images\n' for number in range(1, 6)),
    )
    Image.new('RGB', (40, 32)).save(root / 'JPEGImages' / 'train_0.jpg')
    status, out, _ = run(capsys, tmp_path / 'own.py')
    assert status == 0
    assert out.endswith('checked 5 images: 0 faults, 1 warning\n')
    option = 'val_dataloader.dataset.ann_file=none.txt'
    status, out, _ = run(capsys, tmp_path / 'own.py', '--cfg-options', option)
    assert status == 1
    assert 'data set that cannot be read: 1\n  val_dataloader.dataset: FileNotFoundError: ' in out


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['coco'], 'coco: expected the folder of a copy as well'),
        (
            ['kitti', 'DIR'],
            'kitti is no benchmark; expected one of ade20k, camvid, cifar100, cityscapes, coco, '
            'coco-stopsign, cub, dota, imagenet, imagenet21k, voc',
        ),
        (['none.py'], 'config none.py is not a file; check the path'),
    ],
)
def test_command_with_wrong_words(words, message, capsys):
    assert run(capsys, *words) == (1, '', f'error: {message}\n')
