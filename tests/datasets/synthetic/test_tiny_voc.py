from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from mmattn.datasets.synthetic.tiny_voc import LABELS, make_tiny_voc


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('voc') / 'VOCdevkit'
    make_tiny_voc(root, train=12, val=8, size=(72, 96))
    return root


def listed(root, path):
    return (root / path).read_text().split()


def objects(root, name):
    found = ElementTree.parse(root / 'Annotations' / f'{name}.xml').getroot().findall('object')
    for thing in found:
        place = [int(thing.find(f'bndbox/{k}').text) for k in ('xmin', 'ymin', 'xmax', 'ymax')]
        yield thing.find('name').text, thing.find('difficult').text == '1', place


def labels(root, folder, name):
    return np.asarray(Image.open(root / 'VOC2012' / folder / f'{name}.png'))


def test_lists_name_the_images_of_their_split(root):
    for year, other in (('VOC2007', 'test'), ('VOC2012', None)):
        main = {
            path.stem: listed(root, path) for path in (root / year / 'ImageSets/Main').iterdir()
        }
        assert set(main) == {'train', 'val', 'trainval', *([other] if other else [])}
        assert (len(main['train']), len(main['val'])) == (12, 8)
        assert main['trainval'] == main['train'] + main['val']
        assert not other or len(main[other]) == 8
    segmentation = root / 'VOC2012' / 'ImageSets' / 'Segmentation'
    train, val, trainval, aug, trainaug = (
        listed(segmentation, f'{name}.txt')
        for name in ('train', 'val', 'trainval', 'aug', 'trainaug')
    )
    assert (train, val, trainval) == (main['train'], main['val'], main['trainval'])
    assert len({*aug, *trainval}) == 12 + 12 + 8
    assert trainaug == train + aug


def test_every_listed_image_has_its_files(root):
    for year in ('VOC2007', 'VOC2012'):
        stems = set()
        for path in (root / year / 'ImageSets').rglob('*.txt'):
            stems |= set(listed(root, path))
        for folder in ('JPEGImages', 'Annotations'):
            assert {path.stem for path in (root / year / folder).iterdir()} == stems
    trainval = listed(root, 'VOC2012/ImageSets/Segmentation/trainval.txt')
    maps = root / 'VOC2012'
    assert {path.stem for path in (maps / 'SegmentationClass').iterdir()} == set(trainval)
    assert {path.stem for path in (maps / 'SegmentationClassAug').iterdir()} == stems


def test_boxes_enclose_what_is_visible(root):
    # Alone in its image, a thing is all that its label map shows.
    alone = 0
    for name in listed(root, 'VOC2012/ImageSets/Main/trainval.txt'):
        found = list(objects(root / 'VOC2012', name))
        if len(found) == 1:
            [(kind, difficult, place)] = found
            y, x = np.nonzero(labels(root, 'SegmentationClassAug', name) == LABELS[kind])
            assert place == [x.min() + 1, y.min() + 1, x.max() + 1, y.max() + 1]
            assert not difficult
            alone += 1
    assert alone >= 3


def test_label_maps_show_the_classes_of_the_objects(root):
    for name in listed(root, 'VOC2012/ImageSets/Segmentation/trainaug.txt'):
        found = list(objects(root / 'VOC2012', name))
        shown = {LABELS[kind] for kind, difficult, _ in found if not difficult}
        ignored = {255} if any(difficult for _, difficult, _ in found) else set()
        assert set(np.unique(labels(root, 'SegmentationClassAug', name))) - {0} == shown | ignored


def test_borders_are_ignored_and_colours_are_those_of_the_benchmark(root):
    names = listed(root, 'VOC2012/ImageSets/Segmentation/train.txt')
    for name in names:
        with_borders, plain = (
            labels(root, f, name) for f in ('SegmentationClass', 'SegmentationClassAug')
        )
        assert (with_borders[with_borders != 255] == plain[with_borders != 255]).all()
        assert (with_borders == 255).any() == plain.any()
    image = Image.open(root / 'VOC2012' / 'SegmentationClass' / f'{names[0]}.png')
    assert image.mode == 'P'
    colours = np.array(image.getpalette()).reshape(-1, 3)
    datasets = pytest.importorskip('mmseg.datasets', reason='needs mmseg')
    assert colours[:21].tolist() == datasets.PascalVOCDataset.METAINFO['palette']
    assert colours[255].tolist() == [224, 224, 192]


@pytest.mark.parametrize(
    ('year', 'split', 'count'),
    [('2007', 'trainval', 20), ('2012', 'train', 12), ('2007', 'test', 8)],
)
def test_mmdet_reads_it(root, year, split, count):
    pytest.importorskip('mmdet', reason='needs mmdet')
    pytest.importorskip('mmcv.ops', reason="needs mmcv's compiled operators")
    from mmdet.datasets import VOCDataset

    dataset = VOCDataset(
        data_root=str(root),
        ann_file=f'VOC{year}/ImageSets/Main/{split}.txt',
        data_prefix=dict(sub_data_root=f'VOC{year}/'),
        test_mode=True,
    )
    assert len(dataset) == count
    names = dataset.metainfo['classes']
    for k in range(count):
        info = dataset.get_data_info(k)
        with Image.open(info['img_path']) as image:
            assert image.size == (info['width'], info['height'])
        expected = list(objects(root / f'VOC{year}', info['img_id']))
        assert [names[i['bbox_label']] for i in info['instances']] == [
            name for name, *_ in expected
        ]


@pytest.mark.parametrize(
    ('ann_file', 'folder'), [('train', 'SegmentationClass'), ('aug', 'SegmentationClassAug')]
)
def test_mmseg_reads_it(root, ann_file, folder):
    datasets = pytest.importorskip('mmseg.datasets', reason='needs mmseg')
    dataset = datasets.PascalVOCDataset(
        data_root=str(root / 'VOC2012'),
        data_prefix=dict(img_path='JPEGImages', seg_map_path=folder),
        ann_file=f'ImageSets/Segmentation/{ann_file}.txt',
        pipeline=[
            dict(type='LoadImage'),
            dict(type='LoadSegMap', max_label=20, ignore_index=255),
        ],
    )
    assert len(dataset) == 12
    names = listed(root, f'VOC2012/ImageSets/Segmentation/{ann_file}.txt')
    for sample, name in zip(dataset, names, strict=True):
        np.testing.assert_array_equal(sample['gt_seg_map'], labels(root, folder, name))
    classes = dataset.metainfo['classes']
    assert {classes[label] for label in LABELS.values()} == set(LABELS)
