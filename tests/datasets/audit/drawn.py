"""Small data sets of every kind, in the layouts of the benchmarks and in one's own."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.config import Config
from PIL import Image

WIDTH, HEIGHT = 40, 32
SPLITS = {'train': 3, 'val': 2}
NAMES = ('person', 'dog')


def _image(path: Path, rng: np.random.Generator) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def _labels(path: Path, rng: np.random.Generator, labels: list[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.choice(labels, (HEIGHT, WIDTH)).astype(np.uint8)).save(path)


def _seg(kind: str, **options) -> tuple[list, list]:
    load = [dict(type='LoadImage'), dict(type='LoadSegMap', **options)]
    if kind == 'stock':
        load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
    train = [
        *load,
        dict(type='RandomResize', scale=(48, 40), ratio_range=(0.5, 2.0), keep_ratio=True),
        dict(type='RandomCrop', crop_size=(24, 24), cat_max_ratio=0.75),
        dict(type='RandomFlip', prob=0.5),
        dict(type='PhotoMetricDistortion'),
        dict(type='PackSegInputs'),
    ]
    resize = dict(type='Resize', scale=(48, 40), keep_ratio=True)
    return train, [load[0], resize, load[1], dict(type='PackSegInputs')]


def _config(scope: str, datasets: dict[str, dict], evaluator: dict | None = None) -> Config:
    loaders = {
        f'{part}_dataloader': dict(dataset=dict(dataset, test_mode=part == 'val'))
        for part, dataset in datasets.items()
    }
    return Config(dict(default_scope=scope, val_evaluator=evaluator, **loaders))


def draw_ade20k(root: Path, rng: np.random.Generator) -> None:
    for split, folder in (('train', 'training'), ('val', 'validation')):
        for number in range(SPLITS[split]):
            _image(root / 'images' / folder / f'{number}.jpg', rng)
            _labels(root / 'annotations' / folder / f'{number}.png', rng, [0, 1, 150])


def ade20k(root: Path) -> Config:
    pipelines = _seg('ours', max_label=150)
    folders = ('training', 'validation')
    return _config(
        'mmseg',
        {
            part: dict(
                type='ADE20KDataset',
                data_root=str(root),
                data_prefix=dict(img_path=f'images/{name}', seg_map_path=f'annotations/{name}'),
                pipeline=pipeline,
            )
            for part, name, pipeline in zip(SPLITS, folders, pipelines, strict=True)
        },
    )


def draw_folders(root: Path, rng: np.random.Generator) -> None:
    for split, count in SPLITS.items():
        for number in range(count):
            _image(root / 'img' / split / 'a b' / f'ü{number}.png', rng)
            _labels(root / 'ann' / split / 'a b' / f'ü{number}.png', rng, [0, 1, 2, 255])


def folders(root: Path) -> Config:
    return _config(
        'mmseg',
        {
            part: dict(
                type='BaseSegDataset',
                data_root=str(root),
                data_prefix=dict(img_path=f'img/{part}', seg_map_path=f'ann/{part}'),
                img_suffix='.png',
                metainfo=dict(classes=('a', 'b', 'c')),
                pipeline=pipeline,
            )
            for part, pipeline in zip(SPLITS, _seg('stock'), strict=True)
        },
    )


def draw_cityscapes(root: Path, rng: np.random.Generator) -> None:
    for split, count in SPLITS.items():
        for number in range(count):
            name = f'{split}/aachen/{number}'
            _image(root / 'leftImg8bit' / f'{name}_leftImg8bit.png', rng)
            path = root / 'gtFine' / f'{name}_gtFine_labelTrainIds.png'
            _labels(path, rng, [0, 7, 18, 255])


def cityscapes(root: Path) -> Config:
    return _config(
        'mmseg',
        {
            part: dict(
                type='CityscapesDataset',
                data_root=str(root),
                data_prefix=dict(img_path=f'leftImg8bit/{part}', seg_map_path=f'gtFine/{part}'),
                pipeline=pipeline,
            )
            for part, pipeline in zip(
                SPLITS, _seg('ours', max_label=18, ignore_index=255), strict=True
            )
        },
    )


def _voc_list(root: Path, task: str, split: str, stems: list[str]) -> None:
    path = root / 'VOC2012' / 'ImageSets' / task / f'{split}.txt'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(f'{stem}\n' for stem in stems))


def draw_voc_labels(root: Path, rng: np.random.Generator) -> None:
    for split, count in SPLITS.items():
        stems = [f'{split}_{number}' for number in range(count)]
        _voc_list(root, 'Segmentation', split, stems)
        for stem in stems:
            _image(root / 'VOC2012' / 'JPEGImages' / f'{stem}.jpg', rng)
            path = root / 'VOC2012' / 'SegmentationClass' / f'{stem}.png'
            _labels(path, rng, [0, 20, 255])


def voc_labels(root: Path) -> Config:
    return _config(
        'mmseg',
        {
            part: dict(
                type='PascalVOCDataset',
                data_root=str(root / 'VOC2012'),
                data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
                ann_file=f'ImageSets/Segmentation/{part}.txt',
                pipeline=pipeline,
            )
            for part, pipeline in zip(
                SPLITS, _seg('ours', max_label=20, ignore_index=255), strict=True
            )
        },
    )


def draw_voc_boxes(root: Path, rng: np.random.Generator) -> None:
    for split, count in SPLITS.items():
        stems = [f'{split}_{number}' for number in range(count)]
        _voc_list(root, 'Main', split, stems)
        for stem in stems:
            _image(root / 'VOC2012' / 'JPEGImages' / f'{stem}.jpg', rng)
            path = root / 'VOC2012' / 'Annotations' / f'{stem}.xml'
            path.parent.mkdir(exist_ok=True)
            things = ''.join(
                f'<object><name>{name}</name><difficult>0</difficult><bndbox><xmin>{x}</xmin>'
                f'<ymin>3</ymin><xmax>{x + 12}</xmax><ymax>20</ymax></bndbox></object>'
                for name, x in zip(NAMES, (2, 20), strict=True)
            )
            size = f'<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>'
            path.write_text(f'<annotation>{size}{things}</annotation>')


def _detection(**options) -> tuple[list, list]:
    load = [dict(type='LoadImage'), dict(type='LoadAnnotations', with_bbox=True, **options)]
    resize = dict(type='Resize', scale=(48, 40), keep_ratio=True)
    keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')
    pack = dict(type='PackDetInputs', meta_keys=keys)
    flip = dict(type='RandomFlip', prob=0.5)
    return [*load, resize, flip, dict(type='PackDetInputs')], [load[0], resize, load[1], pack]


def voc_boxes(root: Path) -> Config:
    return _config(
        'mmdet',
        {
            part: dict(
                type='VOCDataset',
                data_root=str(root),
                ann_file=f'VOC2012/ImageSets/Main/{part}.txt',
                data_prefix=dict(sub_data_root='VOC2012/'),
                pipeline=pipeline,
            )
            for part, pipeline in zip(SPLITS, _detection(), strict=True)
        },
    )


def draw_coco(root: Path, rng: np.random.Generator) -> None:
    (root / 'annotations').mkdir(parents=True)
    categories = [dict(id=1, name='person'), dict(id=18, name='dog')]
    for split, count in SPLITS.items():
        images, annotations = [], []
        for number in range(1, count + 1):
            name = f'{number:012d}.jpg'
            _image(root / f'{split}2017' / name, rng)
            images.append(dict(id=number, file_name=name, width=WIDTH, height=HEIGHT))
            for category, left in ((1, 2), (18, 20)):
                box = [left, 3, 12, 17]
                right, bottom = left + 12, 20
                annotation = dict(
                    id=len(annotations) + 1,
                    image_id=number,
                    category_id=category,
                    bbox=box,
                    area=12 * 17,
                    iscrowd=0,
                    segmentation=[[left, 3, right, 3, right, bottom, left, bottom]],
                )
                annotations.append(annotation)
        # One is described by run lengths, down the columns.
        counts = [2 * HEIGHT, 12 * HEIGHT, 26 * HEIGHT]
        annotations[0]['segmentation'] = dict(size=[HEIGHT, WIDTH], counts=counts)
        content = dict(images=images, annotations=annotations, categories=categories)
        path = root / 'annotations' / f'instances_{split}2017.json'
        path.write_text(json.dumps(content))


def _coco(root: Path, kind: str, task: str, evaluator: dict, pipelines: tuple) -> Config:
    annotations = root / 'annotations'
    return _config(
        'mmdet',
        {
            part: dict(
                type=kind,
                data_root=str(root),
                ann_file=f'annotations/{task}_{part}2017.json',
                data_prefix=dict(
                    img=f'{part}2017/',
                    **({'seg': f'annotations/panoptic_{part}2017/'} if task == 'panoptic' else {}),
                ),
                pipeline=pipeline,
            )
            for part, pipeline in zip(SPLITS, pipelines, strict=True)
        },
        dict(evaluator, ann_file=str(annotations / f'{task}_val2017.json')),
    )


def coco_boxes(root: Path) -> Config:
    evaluator = dict(type='CocoMetric', metric='bbox')
    return _coco(root, 'CocoDataset', 'instances', evaluator, _detection())


def coco_masks(root: Path) -> Config:
    evaluator = dict(type='CocoMetric', metric=['bbox', 'segm'])
    return _coco(root, 'CocoDataset', 'instances', evaluator, _detection(with_mask=True))


def draw_panoptic(root: Path, rng: np.random.Generator) -> None:
    (root / 'annotations').mkdir(parents=True)
    categories = [dict(id=1, name='person', isthing=1), dict(id=187, name='sky-other', isthing=0)]
    categories[1]['name'] = 'sky-other-merged'
    for split, count in SPLITS.items():
        images, annotations = [], []
        for number in range(1, count + 1):
            name = f'{number:012d}.jpg'
            _image(root / f'{split}2017' / name, rng)
            images.append(dict(id=number, file_name=name, width=WIDTH, height=HEIGHT))
            ids = np.full((HEIGHT, WIDTH), 300, np.uint32)
            ids[3:20, 2:14] = 7
            colours = np.stack([ids & 255, ids >> 8 & 255, ids >> 16], -1).astype(np.uint8)
            path = root / 'annotations' / f'panoptic_{split}2017' / name.replace('.jpg', '.png')
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(colours).save(path)
            segments = [
                dict(id=7, category_id=1, bbox=[2, 3, 12, 17], area=204, iscrowd=0),
                dict(id=300, category_id=187, bbox=[0, 0, 40, 32], area=1076, iscrowd=0),
            ]
            annotations.append(dict(image_id=number, file_name=path.name, segments_info=segments))
        content = dict(images=images, annotations=annotations, categories=categories)
        path = root / 'annotations' / f'panoptic_{split}2017.json'
        path.write_text(json.dumps(content))


def panoptic(root: Path) -> Config:
    train, val = _detection(with_mask=True, with_seg=True)
    for step in (train[1], val[2]):
        step['type'] = 'LoadPanopticAnnotations'
    evaluator = dict(type='CocoPanopticMetric')
    cfg = _coco(root, 'CocoPanopticDataset', 'panoptic', evaluator, (train, val))
    cfg.val_evaluator.seg_prefix = str(root / 'annotations' / 'panoptic_val2017')
    return cfg


def draw_classes(root: Path, rng: np.random.Generator) -> None:
    for split, count in SPLITS.items():
        for name in NAMES:
            for number in range(count):
                _image(root / split / name / f'{number}.jpg', rng)


def _classification(size: int = 24) -> tuple[list, list]:
    load, pack = dict(type='LoadImage'), dict(type='PackInputs')
    train = dict(type='RandomResizedCrop', scale=size)
    return [load, train, pack], [load, dict(type='Resize', scale=size), pack]


def classes(root: Path) -> Config:
    return _config(
        'mmpretrain',
        {
            part: dict(
                type='CustomDataset', data_root=str(root), data_prefix=part, pipeline=pipeline
            )
            for part, pipeline in zip(SPLITS, _classification(), strict=True)
        },
    )


def draw_imagenet(root: Path, rng: np.random.Generator) -> None:
    (root / 'meta').mkdir(parents=True)
    for split, count in SPLITS.items():
        lines = []
        for number in range(count):
            _image(root / split / 'n01440764' / f'{number}.jpeg', rng)
            lines.append(f'n01440764/{number}.jpeg {number * 400}\n')
        (root / 'meta' / f'{split}.txt').write_text(''.join(lines))


def imagenet(root: Path) -> Config:
    return _config(
        'mmpretrain',
        {
            part: dict(type='ImageNet', data_root=str(root), split=part, pipeline=pipeline)
            for part, pipeline in zip(SPLITS, _classification(), strict=True)
        },
    )


@dataclass(frozen=True)
class Kind:
    """A kind of data.

    Args:
        draw: Writes a data set.
        config: Gives a config that trains on it and validates.
        benchmark: What the checker calls its layout, or None if it has one of its own.
        images: Where its images are.
        labels: Where its label maps are.
        lists: Where its lists are.
        jsons: Where its annotation files are.
        xmls: Where its annotations are.
    """

    draw: Callable
    config: Callable
    benchmark: str | None
    images: str
    labels: str = ''
    lists: str = ''
    jsons: str = ''
    xmls: str = ''


KINDS = {
    'ade20k': Kind(draw_ade20k, ade20k, 'ade20k', 'images/*/*', labels='annotations/*/*'),
    'folders': Kind(draw_folders, folders, None, 'img/*/*/*', labels='ann/*/*/*'),
    'cityscapes': Kind(
        draw_cityscapes, cityscapes, 'cityscapes', 'leftImg8bit/*/*/*', labels='gtFine/*/*/*'
    ),
    'voc labels': Kind(
        draw_voc_labels,
        voc_labels,
        'voc',
        '*/JPEGImages/*',
        labels='*/SegmentationClass/*',
        lists='*/ImageSets/*/*',
    ),
    'voc boxes': Kind(
        draw_voc_boxes,
        voc_boxes,
        'voc',
        '*/JPEGImages/*',
        lists='*/ImageSets/*/*',
        xmls='*/Annotations/*',
    ),
    'coco boxes': Kind(draw_coco, coco_boxes, None, '*2017/*', jsons='annotations/*.json'),
    'coco masks': Kind(draw_coco, coco_masks, 'coco', '*2017/*', jsons='annotations/*.json'),
    'coco panoptic': Kind(
        draw_panoptic,
        panoptic,
        'coco',
        '*2017/*',
        labels='annotations/*/*',
        jsons='annotations/*.json',
    ),
    'classes': Kind(draw_classes, classes, None, '*/*/*'),
    'imagenet': Kind(draw_imagenet, imagenet, 'imagenet', '*/*/*', lists='meta/*'),
}
