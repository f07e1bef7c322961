import copy
import io

import cv2
import mmcv
import numpy as np
import pytest
from mmengine.registry import TRANSFORMS, DefaultScope
from PIL import Image, ImageFile

from mmattn.datasets.loading import check_whole
from mmattn.errors import InputError


@pytest.fixture
def sample(tmp_path):
    """An image of 7x5 pixels and a segmentation map with every label of ADE20K's range."""
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)).save(tmp_path / 'a.png')
    labels = rng.integers(0, 151, (5, 7), dtype=np.uint8)
    labels.ravel()[:4] = 0, 1, 150, 77
    Image.fromarray(labels).save(tmp_path / 'map.png')
    return dict(
        img_path=str(tmp_path / 'a.png'),
        seg_map_path=str(tmp_path / 'map.png'),
        reduce_zero_label=True,
        label_map=None,
        seg_fields=[],
    )


def load(sample, max_label=150, **options):
    results = copy.deepcopy(sample)
    for cfg in (dict(type='LoadImage'), dict(type='LoadSegMap', max_label=max_label, **options)):
        results = TRANSFORMS.build(cfg)(results)
    return results


@pytest.mark.parametrize('reduce_zero_label', [True, False])
@pytest.mark.parametrize('label_map', [None, {0: 255, 1: 3, 149: 0, 76: 1}], ids=['all', 'some'])
def test_loads_what_mmseg_loads(sample, reduce_zero_label, label_map):
    sample.update(reduce_zero_label=reduce_zero_label, label_map=label_map)
    ours = load(sample)
    with DefaultScope.overwrite_default_scope('mmseg'):
        theirs = copy.deepcopy(sample)
        for kind in ('LoadImageFromFile', 'mmseg.LoadAnnotations'):
            theirs = TRANSFORMS.build(dict(type=kind))(theirs)
    assert set(ours) == set(theirs)
    for key in ('img', 'gt_seg_map'):
        assert ours[key].dtype == theirs[key].dtype
        np.testing.assert_array_equal(ours[key], theirs[key])
    assert ours['seg_fields'] == ['gt_seg_map']


@pytest.mark.parametrize('label', [151, 200, 255])
def test_label_out_of_range(sample, label):
    labels = np.array(Image.open(sample['seg_map_path']))
    labels[2, 3] = label
    Image.fromarray(labels).save(sample['seg_map_path'])
    with pytest.raises(InputError, match=rf'map\.png has the label {label}; expected 0 to 150'):
        load(sample)


@pytest.fixture
def palette_sample(sample):
    """A map as Pascal VOC stores it: indices into a palette, and 255 along the borders."""
    labels = np.random.default_rng(0).integers(0, 21, (5, 7), dtype=np.uint8)
    labels.ravel()[:3] = 20, 255, 255
    image = Image.fromarray(labels)
    image.putpalette(np.random.default_rng(1).integers(0, 256, 768, dtype=np.uint8).tobytes())
    image.save(sample['seg_map_path'])
    return {**sample, 'reduce_zero_label': False}


def test_ignored_label_and_palette(palette_sample):
    labels = np.array(Image.open(palette_sample['seg_map_path']))
    loaded = load(palette_sample, max_label=20, ignore_index=255)
    assert (loaded['gt_seg_map'] == labels).all()
    assert (labels == 255).sum() == 2


def test_a_map_may_be_ignored_altogether(sample):
    Image.new('L', (7, 5), 255).save(sample['seg_map_path'])
    loaded = load({**sample, 'reduce_zero_label': False}, max_label=18, ignore_index=255)
    assert (loaded['gt_seg_map'] == 255).all()


def test_label_between_the_largest_and_the_ignored_one(palette_sample):
    with pytest.raises(InputError, match='has the label 20; expected 0 to 19 and 255'):
        load(palette_sample, max_label=19, ignore_index=255)
    with pytest.raises(InputError, match='has the label 255; expected 0 to 20 '):
        load(palette_sample, max_label=20)


def test_map_of_another_size(sample):
    Image.new('L', (7, 4)).save(sample['seg_map_path'])
    with pytest.raises(InputError, match=r'map\.png is 7x4 pixels, its image .*a\.png is 7x5'):
        load(sample)


def test_map_in_colour(sample):
    Image.new('RGB', (7, 5)).save(sample['seg_map_path'])
    with pytest.raises(InputError) as raised:
        load(sample)
    assert str(raised.value) == (
        f'segmentation map {sample["seg_map_path"]} is in colour (shape (5, 7, 3)); expected one '
        'label per pixel: give LoadSegMap a palette=[[R, G, B], ...], one colour for each label'
    )


def save_map(sample, rows):
    """Save a map of 7x5 pixels that begins with some values."""
    values = np.zeros((5, 7, *np.shape(rows)[1:]), np.asarray(rows).dtype)
    values.reshape(35, *np.shape(rows)[1:])[: len(rows)] = rows
    Image.fromarray(values).save(sample['seg_map_path'])


@pytest.mark.parametrize(
    ('options', 'reduce_zero_label', 'file', 'expected'),
    [
        (dict(max_label=10, ignore_index=11), False, [10, 11, 0], [10, 255, 0]),
        (dict(max_label=1, label_map={255: 1}), False, [255, 0, 1], [1, 0, 1]),
        (dict(max_label=1, label_map={128: 1, 64: 255}), False, [128, 64, 0], [1, 255, 0]),
        # Both kinds of "no label": 0 by the data set, 11 by the loader.
        (dict(max_label=10, ignore_index=11), True, [0, 1, 10, 11], [255, 0, 9, 255]),
        (dict(max_label=10, ignore_index=0), True, [0, 1, 10], [255, 0, 9]),
        (dict(max_label=2, ignore_index=255), True, [0, 1, 2, 255], [255, 0, 1, 255]),
        (dict(max_label=2, ignore_index=0, label_map={1: 0, 7: 1}), False, [1, 7, 0], [0, 1, 255]),
    ],
)
def test_renumbers(sample, options, reduce_zero_label, file, expected):
    save_map(sample, np.uint8(file))
    loaded = load({**sample, 'reduce_zero_label': reduce_zero_label}, **options)
    assert loaded['gt_seg_map'].ravel()[: len(file)].tolist() == expected
    assert loaded['gt_seg_map'].dtype == np.uint8


def test_black_and_white_without_a_word(sample):
    save_map(sample, np.uint8([0, 255]))
    with pytest.raises(InputError) as raised:
        load({**sample, 'reduce_zero_label': False}, max_label=1)
    assert str(raised.value) == (
        f'segmentation map {sample["seg_map_path"]} has the label 255; expected 0 to 1 (masks of 0 '
        'and 255 need label_map={255: 1}, void of 255 ignore_index=255)'
    )


def test_warns_where_all_but_the_background_is_ignored(sample, capsys):
    sample = {**sample, 'reduce_zero_label': False}
    image = TRANSFORMS.build(dict(type='LoadImage'))(copy.deepcopy(sample))
    loaders = [
        TRANSFORMS.build(dict(type='LoadSegMap', max_label=1, ignore_index=255)) for _ in range(2)
    ]
    save_map(sample, np.uint8([0, 1, 255]))
    loaders[1](copy.deepcopy(image))
    save_map(sample, np.uint8([0, 255]))
    for loader in loaders:
        for _ in range(40):
            loader(copy.deepcopy(image))
    assert capsys.readouterr().err == (
        f'warning: 32 segmentation maps, the last one {sample["seg_map_path"]}, hold nothing but 0 '
        'and 255, which is ignored; masks of 0 and 255 need LoadSegMap(max_label=1, '
        'label_map={255: 1})\n'
    )


def test_map_of_one_bit(sample):
    save_map(sample, np.array([True, False, True]))
    loaded = load({**sample, 'reduce_zero_label': False}, max_label=1)
    assert loaded['gt_seg_map'].ravel()[:4].tolist() == [1, 0, 1, 0]


def test_map_of_16_bits(sample):
    sample = {**sample, 'reduce_zero_label': False}
    save_map(sample, np.uint16([3, 65535, 1]))
    loaded = load(sample, max_label=3, ignore_index=65535)
    assert loaded['gt_seg_map'].ravel()[:4].tolist() == [3, 255, 1, 0]
    with pytest.raises(InputError) as raised:
        load(sample, max_label=3)
    assert str(raised.value) == (
        f'segmentation map {sample["seg_map_path"]} has the label 65535 and 16 bits per pixel; '
        'expected 0 to 3, one label for each class (a map of instances is made one of classes '
        'first)'
    )


@pytest.mark.parametrize('shape', [(1, 1), (1, 7), (7, 1)])
def test_narrow_map_of_its_own_memory(shape, sample):
    Image.new('RGB', shape[::-1]).save(sample['img_path'])
    Image.new('L', shape[::-1], 2).save(sample['seg_map_path'])
    labels = load({**sample, 'reduce_zero_label': False}, max_label=3)['gt_seg_map']
    assert labels.shape == shape
    assert labels.dtype == np.uint8
    assert (labels == 2).all()
    labels += 1  # Transforms write into it.


COLOURS = [[0, 0, 0], [128, 64, 32], [32, 64, 128], [255, 255, 255]]


@pytest.mark.parametrize('alpha', [[], [255], [9]], ids=['RGB', 'RGBA', 'transparent'])
def test_palette(sample, alpha):
    sample = {**sample, 'reduce_zero_label': False}
    save_map(sample, np.uint8([[*COLOURS[label], *alpha] for label in (3, 1, 2, 0)]))
    options = dict(max_label=2, palette=COLOURS)
    assert load(sample, ignore_index=3, **options)['gt_seg_map'].ravel()[:4].tolist() == [
        *(255, 1, 2, 0)
    ]
    assert load(sample, label_map={3: 1}, **options)['gt_seg_map'].ravel()[:2].tolist() == [1, 1]
    with pytest.raises(InputError, match='has the label 3; expected 0 to 2 '):
        load(sample, **options)
    with pytest.raises(InputError) as raised:
        load(sample, max_label=2, palette=[COLOURS[i] for i in (0, 3, 2)])
    assert str(raised.value) == (
        f'segmentation map {sample["seg_map_path"]} has the colour [128, 64, 32], which is none of '
        'the 3 of the palette of LoadSegMap; add it there'
    )


def test_palette_and_a_map_of_labels(sample):
    with pytest.raises(InputError) as raised:
        load(sample, palette=COLOURS)
    assert str(raised.value) == (
        f'segmentation map {sample["seg_map_path"]} has shape (5, 7) and type uint8; expected '
        'three colours of 8 bits per pixel, since LoadSegMap has a palette'
    )


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        *(
            (
                dict(max_label=label),
                f'max_label has to be from 1 to 254, got {label!r}: 0 alone leaves one class, and '
                '255 means "no label"; for masks of 0 and 255: max_label=1, label_map={255: 1}',
            )
            for label in (255, 0, '7')
        ),
        (
            dict(max_label=1, label_map={255: 2}),
            'label_map has to lead from labels of 0 to 255 to 0 to 1 (max_label) or 255, got '
            '{255: 2}',
        ),
        (
            dict(max_label=1, label_map={300: 1}),
            'label_map has to lead from labels of 0 to 255 to 0 to 1 (max_label) or 255, got '
            '{300: 1}',
        ),
        (
            dict(max_label=1, label_map={255: 1}, ignore_index=255),
            '255 is both ignore_index and in label_map; expected it in one of them',
        ),
        (
            dict(max_label=1, ignore_index='255'),
            "ignore_index has to be a label or None, got '255'",
        ),
        (
            dict(max_label=1, palette=[[0, 0, 0], [0, 0, 256]]),
            'palette has to be a list of [R, G, B] of 0 to 255, got [[0, 0, 0], [0, 0, 256]]',
        ),
        (
            dict(max_label=1, palette=[[0, 0, 0], [0, 0, 0]]),
            'palette has 2 colours, 1 of them different; expected at most 256, each for one label',
        ),
    ],
)
def test_options_of_the_maps(options, message):
    with pytest.raises(InputError) as raised:
        TRANSFORMS.build(dict(type='LoadSegMap', **options))
    assert str(raised.value) == f'LoadSegMap: {message}'


def test_shows_its_options():
    loader = TRANSFORMS.build(dict(type='LoadSegMap', max_label=1, label_map={255: 1}))
    assert repr(loader) == 'LoadSegMap(max_label=1, ignore_index=None, label_map={255: 1})'


@pytest.mark.parametrize(
    ('key', 'kind'), [('img_path', 'image'), ('seg_map_path', 'segmentation map')]
)
@pytest.mark.parametrize('how', ['truncated', 'empty', 'text'])
def test_unreadable(sample, key, kind, how):
    path = sample[key]
    with open(path, 'rb') as file:
        content = file.read()
    with open(path, 'wb') as file:
        file.write(
            {'truncated': content[: len(content) // 2], 'empty': b'', 'text': b'no image'}[how]
        )
    with pytest.raises(InputError, match=f'{kind} {path} cannot be read .*download it again'):
        load(sample)


def jpeg_of(mode, **options):
    """Make a JPEG of 45x37 pixels with edges and noise in every channel."""
    channels = {'L': 1, 'RGB': 3, 'CMYK': 4}[mode]
    noise = np.random.default_rng(0).integers(0, 256, (37, 45, channels), dtype=np.uint8)
    noise[10:30, 10:30] //= 4
    file = io.BytesIO()
    Image.frombytes(mode, (45, 37), noise.tobytes()).save(file, 'JPEG', **options)
    return file.getvalue()


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'
JPEGS = {
    'RGB': lambda: jpeg_of('RGB'),
    '4:4:4': lambda: jpeg_of('RGB', subsampling=0),
    'progressive': lambda: jpeg_of('RGB', progressive=True),
    'gray': lambda: jpeg_of('L'),
    'CMYK': lambda: jpeg_of('CMYK'),
    'upright': lambda: jpeg_of('RGB', exif=turned(1)),
    'no orientation': lambda: jpeg_of('RGB', exif=turned(9)),
    'mirrored': lambda: jpeg_of('RGB', exif=turned(2)),
    'turned': lambda: jpeg_of('RGB', exif=turned(6)),
    'turned by XMP': lambda: jpeg_of('RGB', xmp=XMP),
    'padded': lambda: jpeg_of('RGB') + bytes(100),
}


@pytest.mark.parametrize('name', JPEGS)
@pytest.mark.parametrize(
    'color_type', ['color', 'grayscale', 'unchanged', 'color_ignore_orientation']
)
def test_pixels_of_a_jpeg_are_those_of_pillow(name, color_type, tmp_path):
    content = JPEGS[name]()
    (tmp_path / 'a.jpg').write_bytes(content)
    loader = TRANSFORMS.build(dict(type='LoadImage', color_type=color_type))
    expected = mmcv.imfrombytes(content, flag=color_type, backend='pillow')
    np.testing.assert_array_equal(loader({'img_path': str(tmp_path / 'a.jpg')})['img'], expected)


@pytest.mark.parametrize('name', JPEGS)
def test_opencv_decodes_a_jpeg_that_is_plain_and_whole(name, tmp_path, monkeypatch):
    calls, decode = [], mmcv.imfrombytes
    monkeypatch.setattr(mmcv, 'imfrombytes', lambda *a, **kw: calls.append(kw) or decode(*a, **kw))
    (tmp_path / 'a.jpg').write_bytes(JPEGS[name]())
    TRANSFORMS.build(dict(type='LoadImage'))({'img_path': str(tmp_path / 'a.jpg')})
    by_pillow = name in ('CMYK', 'mirrored', 'turned', 'turned by XMP')
    assert [call['backend'] for call in calls] == ['pillow'] * by_pillow


@pytest.mark.parametrize('lost', [1, 2, 200, 900])
@pytest.mark.parametrize('progressive', [False, True])
def test_truncated_jpeg_that_opencv_would_fill_up(lost, progressive, tmp_path, monkeypatch):
    # As versions of OpenCV do.
    filled = np.full((37, 45, 3), 128, np.uint8)
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: filled)
    thumbnail = jpeg_of('L')
    content = jpeg_of('RGB', progressive=progressive, comment=thumbnail)
    (tmp_path / 'a.jpg').write_bytes(content[:-lost])
    with pytest.raises(InputError, match=r'a\.jpg cannot be read \(image file is truncated'):
        TRANSFORMS.build(dict(type='LoadImage'))({'img_path': str(tmp_path / 'a.jpg')})


@pytest.mark.parametrize('form', ['JPEG', 'PNG', 'BMP', 'TIFF', 'WEBP'])
def test_looks_whether_an_image_is_whole(form, tmp_path, monkeypatch):
    decoded = []
    load = ImageFile.ImageFile.load
    monkeypatch.setattr(
        ImageFile.ImageFile, 'load', lambda image: decoded.append(form) or load(image)
    )
    path = tmp_path / 'a.jpg'
    Image.effect_noise((64, 64), 50).convert('RGB').save(path, form)
    decoded.clear()
    check_whole(str(path))
    assert bool(decoded) == (form not in ('JPEG', 'PNG'))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=r'a\.jpg cannot be read \(.*copy or download it again'):
        check_whole(str(path))


def test_values_that_8_bits_do_not_hold_are_no_whole_image(tmp_path):
    check_whole(ramp(tmp_path / 'deep.png', 65535, np.uint16)['img_path'])
    check_whole(ramp(tmp_path / 'a.tiff', 200, np.float32)['img_path'])
    with pytest.raises(InputError, match=r'b\.tiff has 32-bit pixels from 0 to 300'):
        check_whole(ramp(tmp_path / 'b.tiff', 300, np.float32)['img_path'])


def test_pillow_decodes_what_opencv_refuses(tmp_path, monkeypatch):
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: None)
    content = jpeg_of('RGB')
    (tmp_path / 'a.jpg').write_bytes(content)
    loaded = TRANSFORMS.build(dict(type='LoadImage'))({'img_path': str(tmp_path / 'a.jpg')})['img']
    np.testing.assert_array_equal(loaded, mmcv.imfrombytes(content, backend='pillow'))


def test_truncated_jpeg(sample, tmp_path):
    path = tmp_path / 'a.jpg'
    Image.effect_noise((64, 64), 50).convert('RGB').save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=r'a\.jpg cannot be read \(image file is truncated'):
        load({**sample, 'img_path': str(path)})


@pytest.mark.parametrize(
    ('key', 'kind'), [('img_path', 'image'), ('seg_map_path', 'segmentation map')]
)
def test_missing(sample, key, kind):
    sample[key] = '/nowhere/x.png'
    with pytest.raises(InputError, match=f'{kind} /nowhere/x.png does not exist'):
        load(sample)


def ramp(path, high, kind, form=None):
    values = np.tile(np.linspace(0, high, 80), (60, 1)).astype(kind)
    Image.fromarray(values).save(path, form)
    return {'img_path': str(path)}


@pytest.mark.parametrize('form', ['PNG', 'TIFF', 'PPM'])
@pytest.mark.parametrize('color_type', ['color', 'grayscale', 'unchanged'])
def test_16_bits_are_scaled_as_the_stock_loader_does(form, color_type, tmp_path):
    sample = ramp(tmp_path / 'a.png', 65535, np.uint16, form)
    loads = [
        TRANSFORMS.build(dict(type=kind, color_type=color_type))
        for kind in ('LoadImage', 'LoadImageFromFile')
    ]
    ours, theirs = (load(dict(sample))['img'] for load in loads)
    np.testing.assert_array_equal(ours, theirs)
    assert abs(ours.mean() - (127.5 if color_type != 'unchanged' else 32767.5)) < 1


def test_a_truncated_image_of_16_bits(tmp_path):
    sample = ramp(tmp_path / 'a.png', 65535, np.uint16)
    content = (tmp_path / 'a.png').read_bytes()
    (tmp_path / 'a.png').write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(InputError, match=r'a\.png cannot be read \(.*truncated.*download it again'):
        TRANSFORMS.build(dict(type='LoadImage'))(sample)


@pytest.mark.parametrize(
    ('high', 'kind', 'shown'),
    [(1, np.float32, '0 to 1'), (1e6, np.float32, '0 to 1e+06'), (70000, np.int32, '0 to 70000')],
)
def test_32_bits_that_8_do_not_hold(high, kind, shown, tmp_path):
    path = tmp_path / 'a.tif'
    with pytest.raises(InputError) as error:
        TRANSFORMS.build(dict(type='LoadImage'))(ramp(path, high, kind))
    assert str(error.value) == (
        f'image {path} has 32-bit pixels from {shown}; save it with 8 bits, from 0 to 255, or '
        'with 16'
    )


def test_32_bits_that_8_hold(tmp_path):
    load = TRANSFORMS.build(dict(type='LoadImage'))
    for kind in (np.float32, np.int32):
        assert abs(load(ramp(tmp_path / 'a.tif', 255, kind))['img'].mean() - 127) < 1


@pytest.mark.parametrize('orientation', range(1, 9))
def test_an_image_is_turned_as_its_orientation_says(orientation, sample, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = (5, 7) if orientation >= 5 else (7, 5)
    Image.new('RGB', stored).save(tmp_path / 'a.jpg', exif=exif.tobytes())
    loaded = load({**sample, 'img_path': str(tmp_path / 'a.jpg')})
    assert loaded['ori_shape'] == loaded['gt_seg_map'].shape == (5, 7)
