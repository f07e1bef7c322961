"""Annotation files of COCO, wherever they lie."""

import json

import pytest

from mmattn.datasets.own.det import find_det
from mmattn.errors import InputError
from tests.datasets.own.folders import save_coco, save_image

CATEGORIES = {7: 'cat', 3: 'dog'}


@pytest.mark.parametrize(
    ('file', 'folder'),
    [
        ('annotations/instances_{}2017.json', '{}2017'),
        ('{}/_annotations.coco.json', '{}'),
        ('{}.json', 'images'),
        ('annotations/{}.json', 'images/{}'),
        ('{}/labels.json', '{}/data'),
    ],
)
def test_finds_files_and_images(tmp_path, file, folder):
    for split, images in (('train', 4), ('valid' if '_anno' in file else 'val', 2)):
        save_coco(
            tmp_path / file.format(split), tmp_path / folder.format(split), images, CATEGORIES
        )
    found = find_det(tmp_path, None)
    assert found.datasets['train'] == dict(
        data_prefix=dict(img=f'{folder.format("train")}/'), ann_file=file.format('train')
    )
    assert found.counts == dict(train=4, val=2)
    assert (found.classes, found.files, found.troubles) == (('cat', 'dog'), {}, [])
    assert not found.has_masks


def save_splits(root, categories, boxes=None):
    for split in ('train', 'val'):
        save_coco(root / f'{split}.json', root / 'images', 4, categories, boxes)


def test_leaves_out_what_nobody_uses(tmp_path):
    save_splits(tmp_path, {0: 'pets', 1: 'cat', 2: 'dog'}, boxes=[1, 2])
    found = find_det(tmp_path, None)
    assert (found.classes, found.files) == (('cat', 'dog'), {})
    assert found.notes[1] == ('categories that nobody uses, left out: pets (--classes keeps them)')
    # In the order of the file, which mmdet does not change.
    assert find_det(tmp_path, ['dog', 'pets']).classes == ('pets', 'dog')


def test_writes_files_anew_where_a_name_stands_twice(tmp_path):
    save_splits(tmp_path, {0: 'cat', 1: 'cat', 2: 'dog'}, boxes=[1, 2])
    found = find_det(tmp_path, None)
    content = json.loads(found.files['train'][1])
    assert content['categories'] == [dict(id=1, name='cat'), dict(id=2, name='dog')]
    assert [a['category_id'] for a in content['annotations']] == [1, 2, 1, 2]


def test_writes_files_anew_where_orders_differ(tmp_path):
    save_coco(tmp_path / 'train.json', tmp_path / 'images', 4, {1: 'cat', 2: 'dog'})
    save_coco(tmp_path / 'val.json', tmp_path / 'images', 4, {1: 'dog', 2: 'cat'})
    found = find_det(tmp_path, None)
    assert list(found.files) == ['val']
    content = json.loads(found.files['val'][1])
    assert content['categories'] == [dict(id=1, name='cat'), dict(id=2, name='dog')]
    assert [a['category_id'] for a in content['annotations']] == [2, 1, 2, 1]


def test_divides_one_file(tmp_path):
    save_coco(tmp_path / 'all.json', tmp_path, 10, CATEGORIES)
    found = find_det(tmp_path, None)
    assert found.counts == dict(train=8, val=2)
    train, val = (json.loads(found.files[split][1]) for split in ('train', 'val'))
    assert [image['file_name'] for image in val['images']] == ['all_4.jpg', 'all_9.jpg']
    ids = {image['id'] for image in train['images']}
    assert {annotation['image_id'] for annotation in train['annotations']} == ids


def test_what_training_asks_for_is_added(tmp_path):
    save_splits(tmp_path, CATEGORIES)
    content = json.loads((tmp_path / 'train.json').read_text())
    del content['annotations'][0]['area'], content['annotations'][1]['iscrowd']
    content['annotations'][2]['bbox'] = None
    content['images'][3].update(width=9, height=9)
    (tmp_path / 'train.json').write_text(json.dumps(content))
    (tmp_path / 'images' / 'train_0.jpg').unlink()
    (tmp_path / 'images' / 'val_1.jpg').write_bytes(b'no image')
    found = find_det(tmp_path, None)
    assert found.troubles == [
        'train: 1 image that is not there, left out: train_0.jpg',
        'train: 1 size in train.json differ from the file, taken from the file: train_3.jpg',
        'train.json: 1 iscrowd missing or twice, made',
        'train.json: 1 box without four numbers, left out',
        'val: 1 unreadable image, left out: val_1.jpg',
    ]
    content = json.loads(found.files['train'][1])
    assert [a['iscrowd'] for a in content['annotations']] == [0, 0]
    assert content['images'][-1]['width'] == 48


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            lambda root: None,
            '{root} has no annotations in the format of COCO: 1 images (in .); expected files such '
            'as annotations/train.json and annotations/val.json; for label maps: mmattn data init '
            'seg --from {root}, for class folders: mmattn data init cls --from {root}',
        ),
        (
            lambda root: (root / 'a.txt').write_text('0 0.5 0.5 0.1 0.1\n'),
            '{root} has no annotations in the format of COCO: 1 images (in .), 1 .txt files (boxes '
            'as YOLO); boxes as YOLO are not read: export as COCO, or convert them (mmyolo has '
            'tools/dataset_converters/yolo2coco.py)',
        ),
        (
            lambda root: (root / 'a.xml').write_text('<annotation></annotation>'),
            '{root} has no annotations in the format of COCO: 1 images (in .), 1 .xml files (boxes '
            'as Pascal VOC); boxes as Pascal VOC are not read here: convert them with '
            'tools/dataset_converters/pascal_voc.py of mmdet --out-format coco, or take a config '
            'of VOCDataset',
        ),
        (
            lambda root: (root / 'a.json').write_text('{"shapes": []}'),
            '{root} has no annotations in the format of COCO ({root}/a.json has not the lists '
            'images, annotations, categories (but shapes)): 1 images (in .), 1 .json files that '
            'are not COCO; expected files such as annotations/train.json and annotations/val.json; '
            'for label maps: mmattn data init seg --from {root}, for class folders: mmattn data '
            'init cls --from {root}',
        ),
        (
            lambda root: (root / 'a.json').write_text('{"images": ['),
            '{root}/a.json cannot be read (Expecting value: line 1 column 13 (char 12)); copy or '
            'download it again',
        ),
        (
            lambda root: (root / 'a.json').write_text(
                '{"images": [{"id": 1}], "annotations": [], "categories": []}'
            ),
            '{root}/a.json: images 0 has no file_name; correct the file, or move it away',
        ),
        (
            lambda root: save_coco(root / 'a.json', root.parent / 'elsewhere', 2, CATEGORIES),
            '{root}/a.json names images that are nowhere in {root}, such as a_0.jpg',
        ),
        (
            lambda root: [save_coco(root / f'{n}_train.json', root, 2, CATEGORIES) for n in 'ab'],
            '{root} has several annotation files for train: a_train.json, b_train.json; expected '
            'one for each split, such as train.json and val.json',
        ),
    ],
)
def test_other_data(tmp_path, change, message):
    root = tmp_path / 'data'
    save_image(root / 'a.jpg')
    change(root)
    with pytest.raises(InputError) as raised:
        find_det(root, None)
    assert str(raised.value) == message.format(root=root)


def test_a_name_that_is_not_there(tmp_path):
    save_splits(tmp_path, CATEGORIES)
    with pytest.raises(InputError) as raised:
        find_det(tmp_path, ['catt'])
    assert str(raised.value) == (
        f'{tmp_path}/train.json has no category catt; it has cat, dog; did you mean cat?'
    )


def test_a_mark_in_front_that_pycocotools_does_not_take(tmp_path):
    save_splits(tmp_path, CATEGORIES)
    text = (tmp_path / 'val.json').read_text()
    (tmp_path / 'val.json').write_text(text, encoding='utf-8-sig')
    found = find_det(tmp_path, None)
    assert {split: json.loads(text) for split, (_, text) in found.files.items()} == {
        'val': json.loads(text)
    }
