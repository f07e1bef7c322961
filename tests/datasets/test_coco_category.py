"""Label maps of one category of COCO, drawn from annotations that are written out here."""

import copy
import json
import sys

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, METRICS, DefaultScope
from mmengine.structures import PixelData
from PIL import Image

from mmattn import COCOCategoryDataset, LoadCategoryMap
from mmattn.datasets.audit.config import plan_config
from mmattn.datasets.audit.run import inspect_dataset
from mmattn.datasets.classes import check_classes
from mmattn.errors import InputError

pytest.importorskip('pycocotools.mask', reason='needs pycocotools')

WIDTH, HEIGHT = 8, 6
LOADERS = [dict(type='LoadImage'), dict(type='LoadCategoryMap')]
STOP_SIGN, CAR = 13, 3


def box(left, top, right, bottom):
    return [left, top, right, top, right, bottom, left, bottom]


def instance(number, image, segmentation, category=STOP_SIGN, iscrowd=0):
    return dict(
        id=number,
        image_id=image,
        category_id=category,
        segmentation=segmentation,
        bbox=[0, 0, 1, 1],
        area=1,
        iscrowd=iscrowd,
    )


# Down the columns: the lower half of the second, the third and fourth, which is a crowd.
CROWD = dict(size=[HEIGHT, WIDTH], counts=[9, 15, 24])
CONTENT = dict(
    images=[dict(id=i, file_name=f'{i}.png', width=WIDTH, height=HEIGHT) for i in (30, 10, 20, 40)],
    annotations=[
        instance(1, 10, [box(2, 1, 5, 3)]),
        instance(2, 10, [box(5, 3, 8, 6), box(0, 0, 1, 1)]),
        instance(3, 10, [box(0, 4, 4, 6)], CAR),
        instance(4, 20, CROWD, iscrowd=1),
        instance(5, 20, [box(3, 2, 6, 4)]),
        instance(6, 30, [box(0, 0, 8, 6)], CAR),
        # Pixels 7 to 9 of 48, in the compressed form.
        instance(7, 40, dict(size=[HEIGHT, WIDTH], counts='73V1')),
    ],
    categories=[
        dict(id=CAR, name='car', supercategory='vehicle'),
        dict(id=STOP_SIGN, name='stop sign', supercategory='outdoor'),
    ],
)
# One line for each row of pixels; 9 is ignored.
MAPS = {
    '10.png': ['10000000', '00111000', '00111000', '00000111', '00000111', '00000111'],
    '20.png': ['00990000', '00990000', '00911100', '09911100', '09990000', '09990000'],
    '40.png': ['00000000', '01000000', '01000000', '01000000', '00000000', '00000000'],
}


def labels(rows):
    return np.array([[255 if c == '9' else int(c) for c in row] for row in rows])


@pytest.fixture
def save(tmp_path):
    """Write the data set, with a change; give the config that reads it."""

    def write(change=lambda content: None):
        content = copy.deepcopy(CONTENT)
        change(content)
        for folder in ('annotations', 'val2017'):
            (tmp_path / folder).mkdir(exist_ok=True)
        path = tmp_path / 'annotations' / 'instances_val2017.json'
        path.write_text(json.dumps(content))
        for name in ('10', '20', '30', '40'):
            pixels = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
            Image.fromarray(pixels).save(tmp_path / 'val2017' / f'{name}.png')
        return dict(
            type='COCOCategoryDataset',
            data_root=str(tmp_path),
            ann_file='annotations/instances_val2017.json',
            data_prefix=dict(img='val2017/'),
            pipeline=LOADERS,
        )

    return write


def read(cfg):
    dataset = DATASETS.build(cfg)
    return {s['img_path'].rpartition('/')[2]: s['gt_seg_map'] for s in dataset}


def test_the_maps_of_all_images_that_show_the_category(save):
    found = read(save())
    assert found.keys() == MAPS.keys()
    for name, rows in MAPS.items():
        assert found[name].dtype == np.uint8
        np.testing.assert_array_equal(found[name], labels(rows), name)


def test_another_category(save):
    found = read(dict(save(), metainfo=dict(classes=('background', 'car'))))
    assert found.keys() == {'10.png', '30.png'}
    assert found['30.png'].all()
    rows = ['00000000'] * 4 + ['11110000'] * 2
    np.testing.assert_array_equal(found['10.png'], labels(rows))


def test_the_evaluator_counts_its_pixels(save):
    """A prediction of the left two thirds of a sign, and of all that is ignored."""
    pytest.importorskip('mmseg.evaluation', reason='needs mmseg')
    with DefaultScope.overwrite_default_scope('mmseg'):
        pipeline = [
            LOADERS[0],
            dict(type='Resize', scale=(32, 24)),
            LOADERS[1],
            dict(type='PackSegInputs'),
        ]
        dataset = DATASETS.build(dict(save(), pipeline=pipeline))
        metric = METRICS.build(dict(type='IoUMetric', iou_metrics=['mIoU']))
    [packed] = [s for s in dataset if s['data_samples'].img_path.endswith('20.png')]
    assert packed['inputs'].shape == (3, 24, 32)
    prediction = torch.tensor(labels(MAPS['20.png']) > 0).long()
    prediction[2:4, 5] = 0
    packed['data_samples'].pred_sem_seg = PixelData(data=prediction[None])
    metric.dataset_meta = dataset.metainfo
    metric.process({}, [packed['data_samples'].to_dict()])
    # 13 pixels are left out; 29 are background, 6 the sign, of which 2 are missed.
    assert metric.evaluate(1)['mIoU'] == pytest.approx(100 * (4 / 6 + 29 / 31) / 2, abs=0.01)


def test_an_image_alone_stays_without_a_map():
    results = dict(img=np.zeros((2, 2, 3)), ori_shape=(2, 2))
    assert LoadCategoryMap()(results) is results and 'gt_seg_map' not in results


def test_an_image_of_another_size(save, tmp_path):
    dataset = DATASETS.build(save())
    Image.new('RGB', (HEIGHT, WIDTH)).save(tmp_path / 'val2017' / '10.png')
    with pytest.raises(InputError) as raised:
        list(dataset)
    assert str(raised.value) == (
        f'image {tmp_path}/val2017/10.png is 6x8 pixels, its annotations are for 8x6; expected '
        'the same size'
    )
    report = inspect_dataset('coco-stopsign', tmp_path, workers=1)
    assert [fault.kind for fault in report.faults] == ['sizes that differ']


def change_instance(number, **values):
    return lambda content: content['annotations'][number - 1].update(values)


def change_image(**values):
    return lambda content: content['images'][1].update(values)


# What is wrong, and what is said of it; the first instances are of image 10.
DAMAGES = {
    'no mask': (change_instance(1, segmentation=None), 'missing mask', 'annotation 1 of 10.png'),
    'mask of nothing': (change_instance(1, segmentation=[]), 'missing mask', 'annotation 1'),
    'short polygon': (change_instance(2, segmentation=[[1, 1, 2, 2]]), 'broken mask', 'annotation'),
    'no number': (
        change_instance(2, segmentation=[[0, 0, float('nan'), 1, 1, 1]]),
        'broken mask',
        'annotation 2 of 10.png: a polygon needs three corners',
    ),
    'runs of another size': (
        change_instance(4, segmentation=dict(size=[9, 9], counts=[81])),
        'broken mask',
        'annotation 4 of 20.png: size [9, 9], expected [6, 8]',
    ),
    'too few runs': (
        change_instance(4, segmentation=dict(CROWD, counts=[9, 15])),
        'broken mask',
        'annotation 4 of 20.png: 24 pixels, expected 48',
    ),
    'text of no runs': (
        change_instance(7, segmentation=dict(CROWD, counts='!!')),
        'broken mask',
        'annotation 7 of 40.png',
    ),
    'crowd or not': (change_instance(1, iscrowd='no'), 'incomplete entry', "iscrowd is 'no'"),
    'twice': (change_instance(2, id=1), 'duplicate id', 'annotation 1, 2 times'),
    'no width': (change_image(width=None), 'incomplete entry', 'image 10: width is None'),
    'no name': (change_image(file_name=7), 'incomplete entry', 'image 10: file_name is 7'),
    'no such category': (
        lambda content: content['categories'].pop(),
        'no category is read',
        'instances_val2017.json: there is no stop sign',
    ),
    'two of a name': (
        lambda content: content['categories'].append(dict(id=99, name='stop sign')),
        'duplicate id',
        'category name stop sign, 2 times',
    ),
    'not shown': (
        lambda content: content.update(annotations=content['annotations'][2:3]),
        'category that is not shown',
        'instances_val2017.json: no image has a stop sign',
    ),
    'no annotations': (
        lambda content: content.pop('annotations'),
        'unreadable annotation file',
        'expected the lists images, annotations, categories',
    ),
}


@pytest.mark.parametrize('name', DAMAGES)
def test_damage_is_a_fault_and_one_line(name, save, tmp_path):
    change, kind, said = DAMAGES[name]
    cfg = save(change)
    report = inspect_dataset('coco-stopsign', tmp_path, workers=1)
    [fault] = report.faults
    assert fault.kind == kind and said in fault.place
    with pytest.raises(InputError) as raised:
        DATASETS.build(cfg)
    line = f'{fault.place} ({kind}); correct the file, or download it again'
    assert str(raised.value) == line and line.isprintable()


@pytest.mark.parametrize(
    'change',
    [
        change_instance(3, segmentation='x', iscrowd=None),
        change_instance(6, image_id=[1], id=1),
        lambda content: content['annotations'].append(7),
        lambda content: content['images'][0].pop('width'),
        lambda content: content['categories'][0].pop('name'),
    ],
)
def test_what_is_not_of_the_category_is_not_looked_at(change, save, tmp_path):
    found = read(save(change))
    assert found.keys() == MAPS.keys()
    report = inspect_dataset('coco-stopsign', tmp_path, workers=1)
    assert (report.images, report.faults, report.warnings) == (3, [], [])


def test_an_instance_of_an_unknown_image_is_a_warning(save, tmp_path):
    assert read(save(change_instance(7, image_id=50))).keys() == {'10.png', '20.png'}
    report = inspect_dataset('coco-stopsign', tmp_path, workers=1)
    assert [fault.kind for fault in report.warnings] == ['unknown image']
    assert (report.images, report.faults) == (2, [])


def test_images_that_cannot_be_read_and_names_that_lead_out(save, tmp_path):
    save(change_image(file_name='../10.png'))
    (tmp_path / 'val2017' / '20.png').unlink()
    (tmp_path / 'val2017' / '40.png').write_bytes(b'none')
    report = inspect_dataset('coco-stopsign', tmp_path, workers=1)
    kinds = [fault.kind for fault in report.faults]
    assert sorted(kinds) == ['missing image', 'name outside its folder', 'unreadable image']


def test_splits_that_are_not_there(save, tmp_path):
    save()
    other = tmp_path / 'annotations' / 'instances_train2017.json'
    other.write_text('{}')
    report = inspect_dataset('coco-stopsign', tmp_path, workers=1)
    note = f'{other} is left out: there is no folder {tmp_path}/train2017'
    assert (report.images, report.faults, report.notes) == (3, [], [note])
    with pytest.raises(InputError, match=r'has no annotations/instances_\*\.json; expected a copy'):
        inspect_dataset('coco-stopsign', tmp_path / 'val2017', workers=1)


def test_a_config_is_told_of_all_faults(save):
    def change(content):
        change_instance(1, segmentation=None)(content)
        change_instance(4, segmentation='x')(content)

    def faults_of(dataset):
        cfg = Config(dict(default_scope='mmengine', train_dataloader=dict(dataset=dataset)))
        plan = plan_config(cfg)
        return [f.kind for f in [*plan.faults, *(f for task in plan.tasks for f in task())]]

    assert faults_of(save()) == []
    unread = 'data set that cannot be read'
    assert faults_of(save(change)) == [unread, 'missing mask', 'broken mask']


def test_classes_that_are_not_two(save):
    for classes in (('stop sign',), ('background', 'car', 'stop sign')):
        with pytest.raises(InputError, match=r'expected metainfo\.classes of the background and o'):
            DATASETS.build(dict(save(), metainfo=dict(classes=classes)))


def test_a_category_by_nearly_its_name_is_refused_before_anything_is_read(save):
    assert list(check_classes(save(), 'd', None)) == []
    cfg = dict(save(), metainfo=dict(classes=('background', 'stop-signs')))
    with pytest.raises(InputError, match=r'none of the classes stop-signs is in the data; .* car'):
        list(check_classes(cfg, 'd', None))


def test_a_file_that_is_missing(tmp_path):
    with pytest.raises(InputError, match=r'none\.json: .*No such file.* \(unreadable annotat'):
        COCOCategoryDataset(ann_file='none.json', data_root=str(tmp_path))


def test_without_pycocotools(monkeypatch):
    monkeypatch.setitem(sys.modules, 'pycocotools', None)
    with pytest.raises(ImportError, match='LoadCategoryMap needs pycocotools: pip install pycocot'):
        LoadCategoryMap()
