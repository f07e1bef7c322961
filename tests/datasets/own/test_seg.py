"""Images and label maps: which belong together, and what the labels mean."""

import numpy as np
import pytest
from PIL import Image

from mmattn.datasets.own.seg import find_seg
from mmattn.errors import InputError
from tests.datasets.own.folders import save_image, save_map, save_pairs


@pytest.mark.parametrize(
    ('image', 'label_map', 'prefixes'),
    [
        ('images/{}/{}.jpg', 'masks/{}/{}.png', ('images/train', 'masks/train')),
        ('{}/images/{}.jpg', '{}/labels/{}.png', ('train/images', 'train/labels')),
        ('{}/{}.png', '{}annot/{}.png', ('train', 'trainannot')),
        ('{}/{}.png', '{}_labels/{}_L.png', ('train', 'train_labels')),
        ('{}/img/{}.jpg', '{}/ann/{}.png', ('train/img', 'train/ann')),
        ('img_dir/{}/{}.png', 'ann_dir/{}/{}.png', ('img_dir/train', 'ann_dir/train')),
        ('{}/{}_sat.jpg', '{}/{}_mask.png', ('train', 'train')),
        ('{}/{}.jpg', '{}/{}.png', ('train', 'train')),
        ('img/{}/oslo/{}_rgb.png', 'gt/{}/oslo/{}_gt.png', ('img/train/oslo', 'gt/train/oslo')),
    ],
)
def test_finds_pairs_and_splits(tmp_path, image, label_map, prefixes):
    for split in ('train', 'val'):
        for name in ('a1', 'a2', 'b10'):
            save_image(tmp_path / image.format(split, name))
            save_map(tmp_path / label_map.format(split, name), np.uint8([0, 1, 2]))
    (tmp_path / image.format('train', '.a')).write_bytes(b'hidden')
    found = find_seg(tmp_path, None, None)
    train = found.datasets['train']
    assert tuple(train['data_prefix'].values()) == prefixes
    assert found.counts == dict(train=3, val=3)
    assert found.troubles == []
    assert found.loader == dict(max_label=2)
    # Names alone do not tell a.png from a_mask.png in one folder.
    assert bool(found.files) == (image[:-8] == '{}/{}_' and image.endswith('.png'))


def test_divides_where_nobody_has(tmp_path):
    save_pairs(tmp_path, 'abcdefghijkl', np.uint8([0, 1]))
    found = find_seg(tmp_path, None, None)
    assert found.files == dict(
        train=('.txt', 'a\nb\nc\nd\nf\ng\nh\ni\nk\nl\n'), val=('.txt', 'e\nj\n')
    )
    assert found.notes[0] == 'splits: none; every fifth image validates'


def test_takes_the_lists_that_there_are(tmp_path):
    save_pairs(tmp_path, 'abcd', np.uint8([0, 1]), 'JPEGImages/{}.jpg', 'SegmentationClass/{}.png')
    save_map(tmp_path / 'SegmentationObject' / 'a.png', np.uint8([0, 1, 2, 3]))
    lists = tmp_path / 'ImageSets' / 'Segmentation'
    lists.mkdir(parents=True)
    (lists / 'train.txt').write_text('a\nc\n')
    (lists / 'val.txt').write_text('d\n')
    found = find_seg(tmp_path, None, None)
    assert found.files == dict(train=('.txt', 'a\nc\n'), val=('.txt', 'd\n'))
    assert found.notes[0] == (
        'splits: by the lists ImageSets/Segmentation/train.txt, ImageSets/Segmentation/val.txt'
    )


def test_a_validation_alone_is_divided(tmp_path):
    save_pairs(tmp_path, 'abc', np.uint8([0, 1]), 'images/val/{}.jpg', 'masks/val/{}.png')
    found = find_seg(tmp_path, None, None)
    assert found.files == dict(train=('.txt', 'a\nb\n'), val=('.txt', 'c\n'))


def test_folders_that_belong_to_the_data_are_no_label_maps(tmp_path):
    save_pairs(tmp_path / 'objects', 'ab', np.uint8([0, 1]))
    save_map(tmp_path / 'objects' / 'masks_color' / 'a.png', np.uint8([[9, 0, 0], [0, 9, 0]]))
    found = find_seg(tmp_path, None, None)
    assert (found.counts, found.loader) == (dict(train=1, val=1), dict(max_label=1))


def test_leaves_out_what_is_no_pair(tmp_path):
    save_pairs(tmp_path, 'abcdef', np.uint8([0, 1]))
    save_image(tmp_path / 'images' / 'x.jpg')
    save_map(tmp_path / 'masks' / 'y.png', np.uint8([0, 1]))
    (tmp_path / 'images' / 'a.jpg').write_bytes(b'no image')
    (tmp_path / 'masks' / 'b.png').write_bytes(b'')
    save_image(tmp_path / 'images' / 'c.jpg', (32, 48))
    found = find_seg(tmp_path, None, None)
    assert found.counts == dict(train=2, val=1)
    images, maps = tmp_path / 'images', tmp_path / 'masks'
    *lines, unreadable, empty, sizes = found.troubles
    assert lines == [
        '1 image without label map (pairs are *.jpg and *.png), left out: x.jpg',
        '1 label map without image (pairs are *.jpg and *.png), left out: y.png',
    ]
    assert unreadable.startswith(f'1 unreadable image, left out: {images / "a.jpg"} (cannot ident')
    assert empty.startswith(f'1 unreadable label map, left out: {maps / "b.png"} (cannot identify')
    assert sizes == (
        f'1 pair of two sizes, left out: {images / "c.jpg"} 32x48, its label map 48x32'
    )


def labels_of(root, values, classes=None, void=None):
    for name in 'abc':
        save_image(root / 'images' / f'{name}.png')
        save_map(root / 'masks' / f'{name}.png', values)
    found = find_seg(root, classes, void)
    zero = found.datasets['train'].get('reduce_zero_label', False)
    return found.classes, found.loader, zero, found.notes[1:]


ABC = ('a', 'b', 'c')


@pytest.mark.parametrize(
    ('values', 'classes', 'void', 'names', 'loader', 'zero'),
    [
        ([0, 255], None, None, ('background', 'foreground'), dict(label_map={255: 1}), False),
        ([0, 255], ['road'], None, ('background', 'road'), dict(label_map={255: 1}), False),
        ([0, 1], ['road'], None, ('background', 'road'), {}, False),
        ([0, 1, 2], ABC, None, ABC, {}, False),
        ([0, 1, 2, 255], ABC, None, ABC, dict(ignore_index=255), False),
        ([0, 1, 2, 11], ABC, None, ABC, dict(ignore_index=11), False),
        ([0, 1, 2, 3], ABC, '3', ABC, dict(ignore_index=3), False),
        ([0, 1, 2, 3], ABC, '0', ABC, dict(max_label=3), True),
        ([0, 1, 3, 255], ABC, '0', ABC, dict(max_label=3, ignore_index=255), True),
        ([0, 1, 2, 3, 255], ABC, '3', ABC, dict(label_map={3: 255, 255: 255}), False),
        ([0, 7, 255], ABC[:2], None, ABC[:2], dict(ignore_index=255, label_map={7: 1}), False),
        ([0, 7, 255], ABC, None, ABC, dict(label_map={7: 1, 255: 2}), False),
        ([0, 2], ABC, None, ABC, {}, False),
        (
            [0, 5, 6],
            None,
            None,
            ('label_0', 'label_5', 'label_6'),
            dict(label_map={5: 1, 6: 2}),
            False,
        ),
    ],
)
def test_tells_classes_from_no_label(tmp_path, values, classes, void, names, loader, zero):
    found = labels_of(tmp_path, np.uint8(values), classes, void)
    assert found[:3] == (names, dict(dict(max_label=len(names) - 1), **loader), zero)


def test_colours_with_a_file_that_names_them(tmp_path):
    (tmp_path / 'class_dict.csv').write_text(
        'name,r,g,b\nsky,128,128,128\nroad,128,64,128\nVoid,0,0,0\ncar,64,0,128\n'
    )
    colours = np.uint8([[128, 64, 128], [0, 0, 0], [128, 128, 128], [9, 9, 9]])
    names, loader, _, notes = labels_of(tmp_path, colours)
    assert names == ('sky', 'road', 'car')
    assert loader == dict(
        max_label=2,
        palette=[[128, 128, 128], [128, 64, 128], [64, 0, 128], [0, 0, 0], [9, 9, 9]],
        label_map={3: 255, 4: 255},
    )
    assert notes == [
        'label maps in colour: 4 colours',
        f'names and colours of classes from {tmp_path / "class_dict.csv"}',
        'no label: 0,0,0 and 9,9,9 (50.0% of the pixels)',
    ]


def test_colours_without_names(tmp_path):
    names, loader, _, notes = labels_of(tmp_path, np.uint8([[0, 0, 0], [255, 0, 0], [0, 0, 255]]))
    assert names == ('colour_0_0_0', 'colour_0_0_255', 'colour_255_0_0')
    assert loader == dict(max_label=2, palette=[[0, 0, 0], [0, 0, 255], [255, 0, 0]])
    assert notes[-1] == 'no label: none; if a colour means "no label", say so: --void R,G,B'


@pytest.mark.parametrize('values', [[0, 255], [0, 1], [0, 1, 255]])
def test_shades_of_grey_in_three_channels(tmp_path, values):
    names, loader, *_ = labels_of(tmp_path, np.uint8([[v] * 3 for v in values]))
    assert len(names) == 2
    assert loader == dict(
        dict(max_label=1, palette=[[value] * 3 for value in values]),
        **(dict(ignore_index=2) if len(values) == 3 else {}),
    )


def test_shades_of_grey_whose_zero_is_no_label(tmp_path):
    names, loader, *_ = labels_of(tmp_path, np.uint8([[v] * 3 for v in (0, 1, 3)]), ABC, '0')
    greys = [[value] * 3 for value in (1, 2, 3, 0)]
    assert (names, loader) == (ABC, dict(max_label=2, palette=greys, ignore_index=3))


def test_names_by_number_in_a_file(tmp_path):
    (tmp_path / '_classes.csv').write_text('Pixel Value, Class\n0, background\n1, cat\n2, dog\n')
    names, loader, *_ = labels_of(tmp_path, np.uint8([0, 2]))
    assert (names, loader) == (('background', 'cat', 'dog'), dict(max_label=2))


def test_colours_of_a_palette_image(tmp_path):
    palette = np.zeros((256, 3), np.uint8)
    palette[:2] = [10, 20, 30], [40, 50, 60]
    for name in 'ab':
        save_image(tmp_path / 'images' / f'{name}.jpg')
        save_map(tmp_path / 'masks' / f'{name}.png', np.uint8([0, 1]), palette=palette)
    assert find_seg(tmp_path, None, None).palette == [[10, 20, 30], [40, 50, 60]]


@pytest.mark.parametrize(
    ('values', 'options', 'message'),
    [
        (
            np.uint8([0, 1, 2, 3]),
            (ABC, None),
            'label maps hold 4 labels (0, 1, 2, 3) and 3 classes are named; which label means "no '
            'label"? --void 0 or --void 3',
        ),
        (
            np.uint8([0, 1, 2, 3, 4]),
            (ABC, None),
            'label maps hold 5 labels (0, 1, 2, 3, 4), but 3 classes are named (a, b, c); give one '
            'name for each label, in this order',
        ),
        (
            np.uint8([0, 255]),
            (ABC, None),
            'label maps hold 0 and 255, two classes, but 3 are named (a, b, c); name the one of '
            '255, or that of 0 and that of 255',
        ),
        (
            np.uint8([0, 0]),
            (None, None),
            'label maps hold nothing but 0; expected the labels of two classes or more',
        ),
        (
            np.uint8([0, 1]),
            (None, 'sky'),
            "--void has to be a label of the maps, such as 255, got 'sky'",
        ),
        (
            np.uint16([0, 26001, 26002]),
            (None, None),
            'label map {maps}/a.png has 3 different values up to 26002 in 16 bits or more; that is '
            'a map of instances, or ids of another table: make maps of classes first, each pixel '
            'the number of its class from 0, as 8-bit PNG',
        ),
        (
            np.uint8([[0, 0, 0], [9, 9, 0]]),
            (ABC, None),
            'label maps have 2 colours (0,0,0 9,9,0), but 3 classes are named (a, b, c); give one '
            'name for each colour, in this order, and --void R,G,B for one that means "no label"',
        ),
        (
            np.uint8([*[0] * 228, *range(10, 250, 10), *[255] * 228]),
            (None, None),
            'label maps hold 26 values, 95.0% of the pixels 0 and 255: masks of two classes whose '
            'edges are blurred; make them 0 and 255 by a threshold',
        ),
    ],
)
def test_what_cannot_be_told(tmp_path, values, options, message):
    for name in 'ab':
        save_image(tmp_path / 'images' / f'{name}.jpg', (480, 32))
        save_map(tmp_path / 'masks' / f'{name}.png', values, (480, 32))
    with pytest.raises(InputError) as raised:
        find_seg(tmp_path, *options)
    assert str(raised.value) == message.format(maps=tmp_path / 'masks')


def test_label_maps_as_jpeg(tmp_path):
    for name in 'ab':
        save_image(tmp_path / 'images' / f'{name}.jpg')
        save_image(tmp_path / 'masks' / f'{name}.jpg')
        Image.open(tmp_path / 'masks' / f'{name}.jpg').convert('L').save(
            tmp_path / 'masks' / f'{name}.jpg'
        )
    with pytest.raises(
        InputError, match=r'a\.jpg is a JPEG, which blurs labels \(there are \d+ va'
    ):
        find_seg(tmp_path, None, None)


def test_names_that_do_not_fit(tmp_path):
    save_image(tmp_path / 'images' / 'image_1.jpg')
    save_map(tmp_path / 'masks' / 'label_2.png', np.uint8([0, 1]))
    with pytest.raises(InputError) as raised:
        find_seg(tmp_path, None, None)
    assert str(raised.value) == (
        f'images and label maps of {tmp_path} have names that do not fit, such as '
        'images/image_1.jpg and masks/label_2.png; expected names that begin alike, such as a.jpg '
        'and a.png or a.jpg and a_mask.png'
    )
