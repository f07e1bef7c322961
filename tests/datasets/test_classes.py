import json
from pathlib import Path

import pytest
from mmengine.registry import DefaultScope

from mmattn.datasets.classes import categories_of, check_classes, explain_empty
from mmattn.datasets.names import first_of
from mmattn.errors import InputError

KEY = 'd.metainfo.classes'


def coco(folder, categories=('person', 'bicycle'), images=2, boxes=0):
    """Write annotations, and give the config of a data set that reads them."""
    listed = [dict(id=i, name=name) for i, name in enumerate(categories, 1)]
    images = [dict(id=i, file_name=f'{i}.jpg', width=9, height=9) for i in range(images)]
    box = dict(id=1, image_id=0, category_id=1, bbox=[1, 1, 5, 5], area=25, iscrowd=0)
    content = dict(info=dict(categories='x'), images=images, annotations=[box][:boxes])
    content['categories'] = listed
    (folder / 'a.json').write_text(json.dumps(content))
    return dict(
        type='CocoDataset', data_root=str(folder), ann_file='a.json', data_prefix=dict(img='')
    )


def remarks(dataset, scope='mmdet'):
    return list(check_classes(dataset, 'd', scope))


def message(dataset, scope='mmdet'):
    with pytest.raises(InputError) as caught:
        remarks(dataset, scope)
    assert '\n' not in str(caught.value)
    return str(caught.value)


# ---- COCO ----


def test_other_classes_than_those_of_the_file(tmp_path):
    dataset = coco(tmp_path, ['widget', 'gadget'])
    dataset['metainfo'] = dict(classes=('person', 'bicycle'))
    line = (
        f'{KEY}: none of the classes person, bicycle is in the data; {tmp_path}/a.json has '
        f'widget, gadget; set {KEY} and num_classes to what is meant'
    )
    assert message(dataset) == line
    wrapped = dict(type='RepeatDataset', dataset=dict(type='ConcatDataset', datasets=[dataset]))
    assert message(wrapped) == line.replace(KEY, 'd.dataset.datasets.0.metainfo.classes')


def test_those_of_coco_itself_are_meant_where_none_are_given(tmp_path):
    line = message(coco(tmp_path, ['widget']))
    assert line.startswith(
        f'{KEY}: none of the classes person, bicycle, car, motorcycle, airplane, bus and 74 more '
        'is in the data'
    )


@pytest.mark.parametrize('name', ['bycicle', 'Bicycle', 'bicycles'])
def test_a_class_by_nearly_the_same_name(tmp_path, name):
    dataset = dict(coco(tmp_path), metainfo=dict(classes=('person', name)))
    assert message(dataset) == (
        f"{KEY} has {name!r}, and {tmp_path}/a.json has 'bicycle'; write it as the file does"
    )


def test_a_class_that_the_data_do_not_have(tmp_path):
    dataset = dict(coco(tmp_path), metainfo=dict(classes=('person', 'zebra')))
    assert remarks(dataset) == [
        f'{KEY}: the data have no zebra; {tmp_path}/a.json has person, bicycle'
    ]
    dataset = dict(coco(tmp_path, ['car', 'goat']), metainfo=dict(classes=('car', 'boat')))
    assert remarks(dataset) == [
        f"{KEY}: the data have no boat; {tmp_path}/a.json has car, goat; did you mean 'goat'?"
    ]


def test_numbered_classes_are_different_ones(tmp_path):
    dataset = dict(
        coco(tmp_path, ['part 1', 'part 12']), metainfo=dict(classes=['part 1', 'part 2'])
    )
    [remark] = remarks(dataset)
    assert remark.startswith(f'{KEY}: the data have no part 2; ')


def test_another_order(tmp_path):
    dataset = dict(coco(tmp_path), metainfo=dict(classes=['bicycle', 'person']))
    assert remarks(dataset) == [
        f'{KEY} has another order than the categories of {tmp_path}/a.json, which labels are '
        'numbered by: results will be shown with the wrong names; write person, bicycle'
    ]


@pytest.mark.parametrize('classes', [('person', 'bicycle'), ['bicycle']])
def test_some_or_all_classes_of_the_file(tmp_path, classes):
    assert remarks(dict(coco(tmp_path), metainfo=dict(classes=classes))) == []


@pytest.mark.parametrize(
    'text',
    ['', '{', '{"categories": 3}', '{"categories": [', '{"categories": [{"id": 1}]}', '[]'],
)
def test_a_file_that_cannot_be_told_of_is_left_alone(tmp_path, text):
    dataset = coco(tmp_path)
    (tmp_path / 'a.json').write_text(text)
    assert remarks(dataset) == []
    assert remarks(dict(dataset, ann_file='nope.json')) == []
    assert remarks(dict(dataset, data_root='s3://a')) == []


def test_categories_are_found_wherever_they_stand(tmp_path):
    path = tmp_path / 'a.json'
    path.write_text('\ufeff{"categories" :\n [{"name": "a"}, {"name": "\\u00fc"}], "images": []}')
    assert categories_of(path) == ['a', 'ü']


# ---- A string for a tuple ----


@pytest.mark.parametrize('scope', ['mmdet', 'mmseg', 'mmpretrain'])
def test_one_class_without_its_comma(tmp_path, monkeypatch, scope):
    kind = {'mmdet': 'CocoDataset', 'mmseg': 'BaseSegDataset'}.get(scope, 'CustomDataset')
    dataset = dict(type=kind, metainfo=dict(classes='Name'))
    assert message(dataset, scope) == (
        f"{KEY}='Name' is a string, and no file of that name is there; one class is ('Name',) with "
        'a comma'
    )
    monkeypatch.chdir(tmp_path)
    Path('Name').write_text('a\nb\n')
    assert remarks(dataset, scope) == []
    assert remarks(dict(type=kind, metainfo=dict(classes='http://a/b')), scope) == []


def test_a_data_set_of_somebody_else_may_take_a_word():
    class Own:
        pass

    assert remarks(dict(type=Own, classes='all')) == remarks(dict(type='Own', classes='all')) == []


def test_the_other_option_of_mmpretrain():
    dataset = dict(type='CustomDataset', classes='Name')
    assert message(dataset, 'mmpretrain').startswith("d.classes='Name' is a string")


# ---- mmseg ----


def test_a_class_that_the_data_set_does_not_have():
    dataset = dict(type='CityscapesDataset', metainfo=dict(classes=('road', 'side-walk')))
    assert message(dataset, 'mmseg') == (
        f"{KEY} has 'side-walk', which CityscapesDataset does not have; classes of your own are "
        "read by BaseSegDataset; did you mean 'sidewalk'?"
    )
    assert remarks(dict(dataset, metainfo=dict(classes=('road', 'sky'))), 'mmseg') == []
    assert remarks(dict(dataset, type='BaseSegDataset'), 'mmseg') == []


@pytest.mark.parametrize('number', [1, 3])
def test_another_number_of_colours(number):
    metainfo = dict(classes=('road', 'sky'), palette=[[0, 0, 0]] * number)
    dataset = dict(type='BaseSegDataset', metainfo=metainfo)
    assert message(dataset, 'mmseg') == (
        f'd.metainfo.palette has {number} colours for 2 classes; give one for each, or leave it out'
    )
    metainfo['palette'] = [[0, 0, 0]] * 19
    assert remarks(dict(dataset, type='CityscapesDataset'), 'mmseg') == []


# ---- Folders of classes ----


@pytest.fixture
def folders(tmp_path):
    for name in ('cat', 'dog', 'emu'):
        (tmp_path / 'train' / name).mkdir(parents=True)
    return dict(type='CustomDataset', data_root=str(tmp_path), data_prefix='train')


def test_another_number_of_folders(folders):
    assert message(dict(folders, metainfo=dict(classes=('cat', 'dog'))), 'mmpretrain') == (
        f'{KEY} has 2 classes (cat, dog), and {folders["data_root"]}/train has 3 folders '
        '(cat, dog, emu); expected one for each'
    )


def test_folders_in_another_order(folders):
    assert remarks(dict(folders, classes=('dog', 'cat', 'emu')), 'mmpretrain') == [
        f'd.classes has another order than the folders of {folders["data_root"]}/train, which '
        'labels are numbered by: results will be shown with the wrong names; write cat, dog, emu'
    ]
    for classes in (('cat', 'dog', 'emu'), ('Katze', 'Hund', 'Emu'), None):
        assert remarks(dict(folders, classes=classes), 'mmpretrain') == []
    listed = dict(folders, classes=('a',), ann_file='list.txt')
    assert remarks(listed, 'mmpretrain') == []


# ---- Nothing at all ----


def explained(dataset, scope='mmdet'):
    with DefaultScope.overwrite_default_scope(scope):
        return explain_empty(dataset, 'd')


def test_no_annotation(tmp_path):
    dataset = coco(tmp_path)
    dataset.update(
        filter_cfg=dict(filter_empty_gt=True), metainfo=dict(classes=('person', 'bicycle'))
    )
    line = (
        f'd is empty: nothing is left of {tmp_path}/a.json, and filter_cfg.filter_empty_gt leaves '
        'out images without an annotation; check it, and what filters it'
    )
    assert explained(dataset) == line
    (tmp_path / 'b').mkdir()
    full = dict(coco(tmp_path / 'b', boxes=1), metainfo=dict(classes=('person',)))
    wrapped = dict(type='ConcatDataset', datasets=[full, dataset])
    assert explained(wrapped) == line.replace('d is', 'd.datasets.1 is')


def test_objects_of_other_names(tmp_path):
    folder = tmp_path / 'VOC2007' / 'Annotations'
    folder.mkdir(parents=True)
    (folder / '1.xml').write_text('<annotation><object><name>cat</name></object></annotation>')
    (folder / '2.xml').write_text('no xml')
    dataset = dict(
        type='VOCDataset',
        data_root=str(tmp_path),
        ann_file='a.txt',
        data_prefix=dict(sub_data_root='VOC2007/'),
        filter_cfg=dict(filter_empty_gt=True),
    )
    assert explained(dataset) == (
        f'd is empty: nothing is left of {tmp_path}/a.txt, and filter_cfg.filter_empty_gt leaves '
        'out images without an annotation of its classes; the first ones have cat; check it, and '
        'what filters it'
    )


def test_an_empty_folder():
    dataset = dict(type='BaseSegDataset', data_prefix=dict(img_path='a/b'))
    assert explained(dataset, 'mmseg') == (
        'd is empty: nothing is left of a/b; check it, and what filters it'
    )


def test_of_many_names_the_first_are_shown():
    assert first_of('abcdef') == 'a, b, c, d, e, f'
    assert first_of([1, '\n', *'abcdef']) == '1, \\n, a, b, c, d and 2 more'
