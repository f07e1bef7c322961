"""Does a data set train? Answered by loading it with the real classes, and looking at the result.

Nothing of the checker is used here: what a training would take without a word although it is
nonsense is recognized by what comes out, or from the files anew.
"""

import contextlib
import io
import json
import logging
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import torch
from mmengine.registry import DATASETS, METRICS, DefaultScope
from PIL import Image, ImageOps


class Nonsense(Exception):
    """What would be trained without a word."""


def why_not(cfg) -> str | None:
    """Give the reason why a training with a config fails or learns nonsense, or None."""
    logging.disable()
    try:
        with (
            DefaultScope.overwrite_default_scope(cfg.default_scope),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            for part in ('train', 'val'):
                _load(cfg[f'{part}_dataloader'].dataset, cfg)
            if cfg.get('val_evaluator'):
                _measure(cfg)
    except Exception as error:
        return f'{type(error).__name__}: {error}'
    finally:
        logging.disable(logging.NOTSET)
    return None


def _load(given, cfg) -> None:
    # What is nonsense in its numbers may end the process in the C code of pycocotools.
    content = _read_json(given)
    dataset = DATASETS.build(given)
    if not len(dataset):
        raise Nonsense('no image')
    if any(name.startswith('.') for name in dataset.metainfo['classes']):
        raise Nonsense('a hidden folder is a class')
    if content and len(content['images']) != len(dataset) and not given.get('filter_cfg'):
        raise Nonsense('an image is lost')
    described = {
        a['image_id']: {segment['id'] for segment in a.get('segments_info', ())}
        for a in (content or {}).get('annotations', ())
    }
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        results = info
        for transform in dataset.pipeline.transforms:
            if type(transform).__name__.startswith('Load'):
                results = transform(results)
        _look_at(info, results, dataset, described)
        for _ in range(5):
            packed = dataset.prepare_data(index)
            if packed is not None:
                break
        else:
            raise Nonsense('nothing is given')
        _look_at_packed(packed, cfg, len(dataset.metainfo['classes']))


def _read_json(given) -> dict | None:
    path = Path(given.data_root, given.get('ann_file', ''))
    if path.suffix != '.json':
        return None
    content = json.loads(path.read_text())
    pixels = {image['id']: image['height'] * image['width'] for image in content['images']}
    names = [category['name'] for category in content['categories']]
    if len(set(names)) < len(names):
        raise Nonsense('two labels for one name')
    things = {category['id']: category.get('isthing', True) for category in content['categories']}
    with_mask = any(step.get('with_mask') for step in given.pipeline)
    for annotation in content['annotations']:
        if annotation['image_id'] in pixels:
            for part in annotation.get('segments_info', [annotation]):
                _look_at_numbers(part, things.get(part['category_id'], True))
                if with_mask:
                    _look_at_mask(part.get('segmentation'), pixels[annotation['image_id']])
    return content


def _look_at_numbers(part: dict, is_thing: bool) -> None:
    values = [part.get('bbox'), part.get('area'), part.get('iscrowd')]
    if not all(map(_is_finite, _leaves(values))):
        raise Nonsense('a number that is none')
    if isinstance(part.get('iscrowd'), str) and is_thing:
        raise Nonsense('any text makes a crowd')


def _look_at_mask(mask, pixels: float) -> None:
    if not all(map(_is_finite, _leaves(mask))):
        raise Nonsense('a number that is none')
    if isinstance(mask, list) and None in _leaves(mask):
        # NaN for pycocotools.
        raise Nonsense('a corner that is none')
    if isinstance(mask, list) and any(len(p) % 2 or len(p) < 6 for p in mask):
        raise Nonsense('a polygon is left out')
    if isinstance(mask, dict) and isinstance(mask.get('counts'), list):
        counts = mask['counts']
        if sum(counts) != pixels:
            raise Nonsense('run lengths of another size')
        if any(count != int(count) for count in counts):
            raise Nonsense('run lengths that are cut')


def _leaves(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    else:
        yield value


def _is_finite(value) -> bool:
    return not isinstance(value, (int, float)) or abs(value) < 1e9


def _look_at(info: dict, results: dict, dataset, described: dict) -> None:
    """Compare what was loaded with the files."""
    size = _look_at_image(info['img_path'], results['img'])
    if 'height' in info and (info['width'], info['height']) != size:
        raise Nonsense('another size than is said')
    if 'xml_path' in info:
        width = ElementTree.parse(info['xml_path']).findtext('size/width')
        if width is not None and int(width) != size[0]:
            raise Nonsense('another size than is said')
    for instance in info.get('instances', ()):
        left, top, right, bottom = instance['bbox']
        outside = left >= size[0] or top >= size[1] or right <= 0 or bottom <= 0
        if outside and not instance['ignore_flag']:
            raise Nonsense('a box that has nothing of its image')
    if info.get('seg_map_path'):
        _look_at_labels(info, size, described)
    # The loader marks what it does not understand, beside the crowds.
    said = dataset.get_data_info(info['sample_idx']).get('instances', [])
    if sum(results.get('gt_ignore_flags', [])) > sum(one['ignore_flag'] for one in said):
        raise Nonsense('an instance is ignored')


def _look_at_image(path: str, loaded: np.ndarray) -> tuple[int, int]:
    """Compare an image with its file, and give its size (W, H)."""
    with Image.open(path) as image:
        try:
            image.load()
        except OSError as error:
            raise Nonsense(f'{error}') from error
        values = np.asarray(image, float)
        size = ImageOps.exif_transpose(image).size
    if size != loaded.shape[1::-1]:
        raise Nonsense('another size than its image')
    if image.mode[0] in 'IF':
        most = 65535 if image.mode.startswith('I;16') or values.max() > 255 else 255
        most = 1 if values.max() <= 1 else most
        if abs(values.mean() / most - loaded.mean() / 255) > 0.1:
            raise Nonsense('another brightness')
    return size


def _look_at_labels(info: dict, size: tuple[int, int], described: dict) -> None:
    with Image.open(info['seg_map_path']) as labels:
        if labels.size != size:
            raise Nonsense('labels of another size')
        pixels = np.asarray(labels)
    if 'segments_info' in info:
        colours = pixels.astype(int) @ [1, 256, 65536] if pixels.ndim == 3 else pixels
        if set(np.unique(colours)) - {0} != described[info['img_id']]:
            raise Nonsense('segments that are not described, or not shown')
    elif pixels.max() > 255:
        raise Nonsense('labels that are cut')


def _look_at_packed(packed: dict, cfg, classes: int) -> None:
    sample, inputs = packed['data_samples'], packed['inputs']
    if 'gt_sem_seg' in sample and cfg.default_scope == 'mmseg':
        labels = sample.gt_sem_seg.data
        wrong = set(labels.unique().tolist()) - {*range(classes), 255}
        if wrong:
            raise Nonsense(f'labels {wrong}')
        if labels.dim() != 3 or len(labels) != 1:
            raise Nonsense('labels of several numbers')
    if 'gt_instances' in sample:
        boxes = sample.gt_instances.bboxes.tensor
        if not torch.isfinite(boxes).all():
            raise Nonsense('a box of no numbers')
        if len(boxes) and not ((boxes[:, 2:] - boxes[:, :2]) > 0).all():
            raise Nonsense('a box without area')
        if not (sample.gt_instances.labels < classes).all():
            raise Nonsense('a label out of range')
    if 'gt_label' in sample and not ((sample.gt_label >= 0) & (sample.gt_label < classes)).all():
        raise Nonsense('a label out of range')
    if not torch.isfinite(inputs.float()).all():
        raise Nonsense('an image of no numbers')


def _measure(cfg) -> None:
    """Measure some predictions against the annotation file."""
    dataset = DATASETS.build(cfg.val_dataloader.dataset)
    metric = METRICS.build(cfg.val_evaluator)
    metric.dataset_meta = dataset.metainfo
    if cfg.val_evaluator.type != 'CocoMetric':
        # Its measuring takes more processes.
        for annotation in json.loads(Path(cfg.val_evaluator.ann_file).read_text())['annotations']:
            Image.open(Path(cfg.val_evaluator.seg_prefix, annotation['file_name'])).load()
        return
    for index in range(len(dataset)):
        sample = dataset[index]['data_samples']
        height, width = sample.ori_shape
        masks = torch.zeros(1, height, width, dtype=torch.bool)
        masks[:, 3:20, 2:14] = True
        found = dict(
            bboxes=torch.tensor([[2.0, 3, 14, 20]]),
            scores=torch.tensor([0.9]),
            labels=torch.tensor([0]),
            masks=masks,
        )
        given = dict(sample.to_dict(), pred_instances=found)
        metric.process({}, [given])
    metric.evaluate(len(dataset))
