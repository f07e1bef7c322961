import json

import numpy as np
import pytest
from PIL import Image

from mmattn.datasets.synthetic.coco_categories import STUFF, THINGS
from mmattn.datasets.synthetic.scenes import box
from mmattn.datasets.synthetic.tiny_coco import make_tiny_coco

COCO = pytest.importorskip('pycocotools.coco', reason='needs pycocotools').COCO
DRAWN = {'airplane', 'boat', 'bottle', 'car', 'person', 'potted plant'}


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('coco') / 'coco'
    make_tiny_coco(root, train=12, val=4)
    return root


@pytest.fixture(scope='module')
def instances(root):
    return COCO(root / 'annotations' / 'instances_train2017.json')


def load(root, task, split='train2017'):
    return json.loads((root / 'annotations' / f'{task}_{split}.json').read_text())


def segments(root, split='train2017'):
    """The segmentation of each image, decoded, with its description."""
    for annotation in load(root, 'panoptic', split)['annotations']:
        rgb = np.asarray(
            Image.open(root / 'annotations' / f'panoptic_{split}' / annotation['file_name'])
        )
        yield rgb.astype(int) @ (1, 256, 256**2), annotation


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob('*') if p.is_file()}


def test_files_are_named_as_in_coco(tmp_path):
    make_tiny_coco(tmp_path / 'coco', train=2, val=1, size=(32, 32))
    assert {path.as_posix() for path in contents(tmp_path / 'coco')} == {
        'annotations/instances_train2017.json',
        'annotations/instances_val2017.json',
        'annotations/panoptic_train2017.json',
        'annotations/panoptic_train2017/000000000001.png',
        'annotations/panoptic_train2017/000000000002.png',
        'annotations/panoptic_val2017.json',
        'annotations/panoptic_val2017/000000500001.png',
        'annotations/person_keypoints_train2017.json',
        'annotations/person_keypoints_val2017.json',
        'train2017/000000000001.jpg',
        'train2017/000000000002.jpg',
        'val2017/000000500001.jpg',
    }


def test_images_are_as_they_are_described(root):
    for task in ('instances', 'panoptic', 'person_keypoints'):
        for split, count in (('train2017', 12), ('val2017', 4)):
            images = load(root, task, split)['images']
            assert len({image['id'] for image in images}) == count
            for image in images:
                with Image.open(root / split / image['file_name']) as picture:
                    assert picture.size == (image['width'], image['height'])


def test_masks_and_boxes_are_those_of_the_panoptic_segmentation(root, instances):
    compared = 0
    for ids, annotation in segments(root):
        things = [s for s in annotation['segments_info'] if s['category_id'] <= 90]
        found = instances.loadAnns(instances.getAnnIds(annotation['image_id']))
        for segment, instance in zip(things, found, strict=True):
            mask = ids == segment['id']
            np.testing.assert_array_equal(instances.annToMask(instance), mask)
            left, top, right, bottom = box(mask)
            for described in (segment, instance):
                assert described['bbox'] == [left, top, right - left, bottom - top]
                assert described['area'] == mask.sum() > 0
            for key in ('category_id', 'iscrowd'):
                assert segment[key] == instance[key]
            compared += 1
    assert compared == len(instances.anns) > 12


def test_segments_are_those_of_the_picture(root):
    for ids, annotation in segments(root):
        described = {segment['id'] for segment in annotation['segments_info']}
        assert set(np.unique(ids)) - {0} == described
        assert 0 < (ids == 0).mean() < 0.1


def test_every_category_is_listed_and_six_images_show_all_that_are_drawn(root, instances):
    names = {k: name for group in THINGS.values() for k, name in group.items()}
    assert len(names) == 80
    assert {k: c['name'] for k, c in instances.cats.items()} == names
    stuff = {k: name for group in STUFF.values() for k, name in group.items()}
    categories = load(root, 'panoptic')['categories']
    assert {c['id']: c['name'] for c in categories if not c['isthing']} == stuff
    assert len(categories) == 133
    first = [a for a in instances.anns.values() if a['image_id'] <= 6]
    assert {names[a['category_id']] for a in first} == DRAWN


def test_some_images_show_a_crowd_or_nothing(instances):
    crowds = [a for a in instances.anns.values() if a['iscrowd']]
    assert crowds
    assert all(isinstance(a['segmentation']['counts'], list) for a in crowds)
    assert [k for k in instances.imgs if not instances.getAnnIds(k)] == [8]


def test_things_are_large_enough_to_be_learnt(instances):
    for annotation in instances.anns.values():
        assert annotation['area'] > 0.01 * 120 * 160 or annotation['iscrowd']


def test_a_mask_with_a_hole_is_traced_exactly(instances):
    from mmattn.datasets.synthetic.tiny_coco import _polygons

    mask = np.zeros((12, 14), bool)
    mask[1:11, 2:13] = True
    mask[3:5, 4:6] = mask[7:9, 4:11] = mask[3, 9] = False
    mask[0, 0] = mask[11, 13] = True
    annotation = dict(image_id=1, segmentation=list(_polygons(mask)))
    image = dict(instances.imgs[1], height=12, width=14)
    instances.imgs[1], kept = image, instances.imgs[1]
    np.testing.assert_array_equal(instances.annToMask(annotation), mask)
    instances.imgs[1] = kept


@pytest.mark.parametrize('kind', ['bbox', 'segm', 'keypoints'])
def test_the_truth_scores_one(root, kind):
    from pycocotools.cocoeval import COCOeval

    task = 'person_keypoints' if kind == 'keypoints' else 'instances'
    truth = COCO(root / 'annotations' / f'{task}_train2017.json')
    answers = [{**a, 'score': 1.0} for a in truth.anns.values() if not a['iscrowd']]
    evaluation = COCOeval(truth, truth.loadRes(answers), kind)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1)


def test_keypoints_lie_on_the_person(root):
    persons = COCO(root / 'annotations' / 'person_keypoints_train2017.json')
    assert len(persons.cats[1]['keypoints']) == 17
    seen = 0
    for annotation in persons.anns.values():
        x, y, visible = np.array(annotation['keypoints']).reshape(17, 3).T
        assert annotation['num_keypoints'] == (visible > 0).sum()
        on = persons.annToMask(annotation)[y, x]
        assert (on[visible == 2] == 1).all()
        assert (on[visible == 1] == 0).all()
        assert not x[visible == 0].any()
        seen += (visible == 2).sum()
    assert seen > 17


def test_mmdet_reads_it_and_scores_the_truth_one(root):
    pytest.importorskip('mmdet', reason='needs mmdet')
    pytest.importorskip('mmcv.ops', reason="needs mmcv's compiled operators")
    import torch
    from mmdet.datasets import CocoDataset
    from mmdet.evaluation import CocoMetric
    from mmdet.utils import register_all_modules

    register_all_modules()
    dataset = CocoDataset(
        data_root=str(root),
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
        ],
    )
    assert len(dataset) == 11
    metric = CocoMetric(ann_file=str(root / 'annotations' / 'instances_train2017.json'))
    metric.dataset_meta = dataset.metainfo
    for sample in dataset:
        kept = ~sample['gt_ignore_flags']
        predictions = dict(
            bboxes=sample['gt_bboxes'].tensor[kept],
            labels=torch.tensor(sample['gt_bboxes_labels'])[kept],
            scores=torch.ones(int(kept.sum())),
        )
        metric.process({}, [dict(**sample, pred_instances=predictions)])
    # The image without a thing is asked about as well.
    assert metric.evaluate(len(dataset))['coco/bbox_mAP'] == 1


def test_mmdet_reads_the_panoptic_segmentation_and_scores_the_truth_100(root):
    pytest.importorskip('panopticapi', reason='needs panopticapi')
    pytest.importorskip('mmdet', reason='needs mmdet')
    pytest.importorskip('mmcv.ops', reason="needs mmcv's compiled operators")
    import torch
    from mmdet.datasets import CocoPanopticDataset
    from mmdet.evaluation import CocoPanopticMetric
    from mmdet.evaluation.functional import INSTANCE_OFFSET
    from mmdet.utils import register_all_modules

    register_all_modules()
    folders = dict(img='train2017/', seg='annotations/panoptic_train2017/')
    dataset = CocoPanopticDataset(
        data_root=str(root),
        ann_file='annotations/panoptic_train2017.json',
        data_prefix=folders,
        pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadPanopticAnnotations')],
    )
    assert len(dataset) == 12
    assert len(dataset.metainfo['classes']) == 133
    metric = CocoPanopticMetric(
        ann_file=str(root / 'annotations' / 'panoptic_train2017.json'),
        seg_prefix=str(root / folders['seg']),
    )
    metric.dataset_meta = dataset.metainfo
    for sample, (ids, _) in zip(dataset, segments(root), strict=True):
        labels = sample['gt_seg_map']
        assert ((labels == 255) == (ids == 0)).all()
        # mmdet numbers the instances of a class, and calls the rest by a class that is none.
        _, number = np.unique(ids, return_inverse=True)
        predicted = (
            np.where(labels == 255, 133, labels) + number.reshape(ids.shape) * INSTANCE_OFFSET
        )
        answer = dict(sem_seg=torch.tensor(predicted)[None])
        metric.process({}, [dict(**sample, pred_panoptic_seg=answer)])
    assert metric.evaluate(len(dataset))['coco_panoptic/PQ'] == 100


def test_more_images_leave_the_first_entries(root, tmp_path):
    make_tiny_coco(tmp_path / 'coco', train=3, val=2)
    for task in ('instances', 'panoptic', 'person_keypoints'):
        few, many = load(tmp_path / 'coco', task), load(root, task)
        assert len(few['images']) == 3
        for key in ('images', 'annotations'):
            assert few[key] == many[key][: len(few[key])]


def test_stop_signs_are_octagons_without_what_holds_them(tmp_path):
    make_tiny_coco(tmp_path / 'coco', train=9, val=1, first='stop sign')
    signs = COCO(tmp_path / 'coco' / 'annotations' / 'instances_train2017.json')
    shown = signs.getImgIds(catIds=signs.getCatIds(['stop sign']))
    # The eighth image shows nothing.
    assert sorted(shown) == [1, 2, 3, 4, 5, 6, 7, 9]
    [first] = signs.loadAnns(signs.getAnnIds([1], signs.getCatIds(['stop sign'])))
    # Of a square, a regular octagon has 2 (sqrt(2) - 1).
    width, height = first['bbox'][2:]
    assert abs(width - height) <= 1
    assert first['area'] / (width * height) == pytest.approx(0.828, abs=0.02)
