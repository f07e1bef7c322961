"""Files of others: each fault is listed, nothing outside is opened, and nothing ends the look."""

import copy
import json
import random
import shutil
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from mmattn.datasets.audit.run import inspect_dataset
from mmattn.datasets.audit.run_lengths import run_lengths
from mmattn.datasets.benchmarks import BENCHMARKS
from mmattn.datasets.checks import check_data
from mmattn.datasets.loading import LoadImage, LoadSegMap
from mmattn.datasets.names import visible
from mmattn.errors import InputError

INSTANCES = 'annotations/instances_train2017.json'
PANOPTIC = 'annotations/panoptic_train2017.json'
XML = 'VOC2012/Annotations/2012_000001.xml'


@pytest.fixture(scope='module')
def generated(tmp_path_factory):
    folder = tmp_path_factory.mktemp('generated')
    for name in ('ade20k', 'coco', 'voc'):
        BENCHMARKS[name].make(folder / name, train=6, val=1, size=(48, 64))
    return folder


@pytest.fixture
def copy_of(generated, tmp_path):
    return lambda kind: shutil.copytree(generated / kind, tmp_path / kind)


def look(kind, root):
    """Look at a copy in this process, and give the faults as they are listed."""
    plan = BENCHMARKS[kind].plan(root)
    faults = plan.faults + [fault for task in plan.tasks for fault in task()]
    return [f'{fault.kind}: {fault.place}' for fault in faults]


def bomb(path, width=20000, height=20000):
    """Write a small PNG that announces a large image."""

    def chunk(kind, data):
        checksum = struct.pack('>I', zlib.crc32(kind + data))
        return struct.pack('>I', len(data)) + kind + data + checksum

    header = chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0))
    data = chunk(b'IDAT', zlib.compress(bytes(1000)))
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + header + data + chunk(b'IEND', b''))


def change_json(root, name, change):
    content = json.loads((root / name).read_text())
    change(content)
    (root / name).write_text(json.dumps(content))


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


SIZE = [48, 64]
ANNOTATIONS = {
    'null counts': ({'segmentation': {'size': SIZE, 'counts': None}}, 'broken mask'),
    'no counts': ({'segmentation': {'size': SIZE}}, 'broken mask'),
    'a number of counts': ({'segmentation': {'size': SIZE, 'counts': 7}}, 'broken mask'),
    'texts as counts': ({'segmentation': {'size': SIZE, 'counts': ['3', '4']}}, 'broken mask'),
    'null as a count': ({'segmentation': {'size': SIZE, 'counts': [5, None]}}, 'broken mask'),
    'NaN counts': ({'segmentation': {'size': SIZE, 'counts': [float('nan')]}}, 'broken mask'),
    'negative counts': (
        {'segmentation': {'size': SIZE, 'counts': [-5, 48 * 64 + 5]}},
        'broken mask',
    ),
    'garbage': ({'segmentation': {'size': SIZE, 'counts': '~~not run lengths'}}, 'broken mask'),
    'garbage of digits': ({'segmentation': {'size': SIZE, 'counts': 'o' * 999}}, 'broken mask'),
    'cut text': ({'segmentation': {'size': SIZE, 'counts': 'PP'}}, 'broken mask'),
    'short text': ({'segmentation': {'size': SIZE, 'counts': '52'}}, 'broken mask'),
    'polygon of texts': ({'segmentation': [list('abcdef')]}, 'broken mask'),
    'polygon as a text': ({'segmentation': ['1 2 3 4 5 6']}, 'broken mask'),
    'NaN polygon': ({'segmentation': [[1, 1, 9, float('nan'), 9, 9]]}, 'broken mask'),
    'infinite polygon': ({'segmentation': [[1, 1, 9, float('inf'), 9, 9]]}, 'broken mask'),
    'huge polygon': ({'segmentation': [[1, 1, 9, 10**400, 9, 9]]}, 'broken mask'),
    'deep polygon': ({'segmentation': nested(900)}, 'incomplete entry'),
    'NaN box': ({'bbox': [float('nan'), 1, 5, 5]}, 'incomplete entry'),
    'infinite box': ({'bbox': [1, 1, float('inf'), 5]}, 'incomplete entry'),
    'huge box': ({'bbox': [1, 1, 10**400, 5]}, 'incomplete entry'),
    'box of texts': ({'bbox': list('1234')}, 'incomplete entry'),
    'box of truth values': ({'bbox': [True, True, 5, 5]}, 'incomplete entry'),
    'NaN area': ({'area': float('nan')}, 'incomplete entry'),
    'area as a text': ({'area': '12'}, 'incomplete entry'),
    'crowd as a text': ({'iscrowd': 'no'}, 'incomplete entry'),
    'truth as id': ({'id': True}, 'incomplete entry'),
    'list as id': ({'id': nested(600)}, 'incomplete entry'),
}


@pytest.mark.parametrize('name', ANNOTATIONS)
def test_a_value_of_an_annotation(name, copy_of):
    values, kind = ANNOTATIONS[name]
    root = copy_of('coco')

    def change(content):
        # Run lengths are looked at only where the size of the mask is that of the image.
        content['images'][0].update(height=SIZE[0], width=SIZE[1])
        content['annotations'][0].update(values, image_id=content['images'][0]['id'])

    change_json(root, INSTANCES, change)
    lines = [line for line in look('coco', root) if not line.startswith('sizes that differ')]
    [line] = [line for line in lines if not line.startswith('box outside')]
    assert ': size [' not in line
    assert line.startswith(f'{kind}: {root / INSTANCES}: annotation ')
    assert len(line) < len(str(root)) + 400


def test_key_points_of_no_numbers(copy_of):
    root = copy_of('coco')
    source = 'annotations/person_keypoints_train2017.json'
    points = [float('nan'), 1, 2] * 17
    change_json(root, source, lambda content: content['annotations'][0].update(keypoints=points))
    [line] = look('coco', root)
    assert line.startswith(f'incomplete entry: {root / source}: annotation ')


@pytest.mark.parametrize(
    'values', [{'width': 0}, {'height': -5}, {'width': float('nan')}, {'width': True}]
)
def test_a_size_of_an_image(values, copy_of):
    root = copy_of('coco')
    change_json(root, INSTANCES, lambda content: content['images'][0].update(values))
    lines = look('coco', root)
    assert lines[0].startswith(f'incomplete entry: {root / INSTANCES}: image 1: ')
    assert {line.split(':')[0] for line in lines[1:]} <= {'unknown image'}


@pytest.mark.parametrize('seed', range(20))
def test_run_lengths_are_those_of_pycocotools(seed):
    mask = pytest.importorskip('pycocotools.mask', reason='needs pycocotools')
    rng = np.random.default_rng(seed)
    pixels = rng.random((37, 53)) < rng.random()
    if seed % 2:
        pixels = np.repeat(np.repeat(pixels, 40, 0), 30, 1)
    text = mask.encode(np.asfortranarray(pixels, np.uint8))['counts'].decode()
    column = pixels.T.ravel()
    lengths = np.diff([0, *np.flatnonzero(np.diff(column)) + 1, column.size]).tolist()
    assert run_lengths(text) == [0] * bool(column[0]) + lengths


def test_brackets(copy_of):
    root = copy_of('coco')
    (root / INSTANCES).write_text('[' * 100_000)
    lines = look('coco', root)
    assert lines == [f'unreadable annotation file: {root / INSTANCES}: nested too deep']


@pytest.mark.parametrize('name', ['../../x.jpg', '/etc/passwd', 'a/../../x.jpg', '..'])
@pytest.mark.parametrize('source', [INSTANCES, PANOPTIC])
def test_a_name_that_leads_outside_is_not_opened(name, source, copy_of, monkeypatch):
    root = copy_of('coco')
    Image.new('RGB', (64, 48)).save(root.parent / 'x.jpg')
    opened = []
    look_into = Image.open
    monkeypatch.setattr(Image, 'open', lambda path: [opened.append(str(path)), look_into(path)][1])
    entries = 'images' if source == INSTANCES else 'annotations'
    change_json(root, source, lambda content: content[entries][0].update(file_name=name))
    lines = look('coco', root)
    assert f'name outside its folder: {root / source}: ' in lines[0]
    assert lines[0].endswith(f': {name}')
    assert len(lines) == 1
    assert not any('..' in path or '/etc' in path for path in opened)


@pytest.mark.parametrize('task', ['Main', 'Segmentation'])
@pytest.mark.parametrize('name', ['../../../x', '/etc/passwd'])
def test_a_list_that_leads_outside(task, name, copy_of):
    root = copy_of('voc')
    names = root / 'VOC2012' / 'ImageSets' / task / 'train.txt'
    names.write_text(f'{names.read_text()}{name}\n')
    assert look('voc', root) == [f'name outside its folder: {names}: {name}']


def test_a_list_that_is_no_text(copy_of):
    root = copy_of('voc')
    names = root / 'VOC2007' / 'ImageSets' / 'Main' / 'test.txt'
    names.write_bytes(b'\xff\xfe\x00')
    assert look('voc', root)[0].startswith(f'unreadable list: {names}: ')


@pytest.mark.parametrize('name', ['x' * 5000, 'a\x00b.jpg', '\ud800.jpg'])
def test_a_name_that_no_file_has(name, copy_of):
    root = copy_of('coco')
    change_json(root, INSTANCES, lambda content: content['images'][0].update(file_name=name))
    [line] = [line for line in look('coco', root) if 'jpg' in line or 'xxx' in line]
    assert line.split(':')[0] in ('missing image', 'unreadable image')
    assert len(visible(line)) < 450


def test_a_long_name_in_a_list(copy_of):
    root = copy_of('voc')
    names = root / 'VOC2012' / 'ImageSets' / 'Main' / 'train.txt'
    names.write_text(f'{names.read_text()}{"x" * 5000}\n')
    kinds = [line.split(':')[0] for line in look('voc', root)]
    assert kinds == ['unreadable image', 'unreadable annotation']


@pytest.mark.parametrize(
    ('text', 'shown'),
    [
        ('plain name ü.jpg', 'plain name ü.jpg'),
        ('\x1b]0;title\x07\x1b[2J', r'\x1b]0;title\x07\x1b[2J'),
        ('two\nlines\r', r'two\nlines\r'),
        ('\u202egpj.exe', r'\u202egpj.exe'),
        ('\ud800', r'\ud800'),
        ('x' * 5000, 'x' * 200 + '...' + 'x' * 200),
    ],
)
def test_visible(text, shown):
    assert visible(text) == shown


def test_escape_sequences_do_not_reach_the_terminal(copy_of, capfd):
    root = copy_of('coco')
    name = '\x1b[31mred\nline\ud800.jpg'
    change_json(root, INSTANCES, lambda content: content['images'][0].update(file_name=name))
    change_json(root, PANOPTIC, lambda content: content['categories'][0].update(id='\x1b[2J'))
    report = str(inspect_dataset('coco', root, workers=1))
    assert r'/\x1b[31mred\nline\ud800.jpg' in report
    assert all(line.isprintable() for line in report.splitlines())
    report.encode()
    assert '\x1b' not in capfd.readouterr().err


@pytest.mark.parametrize(
    'declared',
    [
        '<!DOCTYPE a [<!ENTITY x "y"><!ENTITY z "&x;&x;">]>',
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE a SYSTEM "http://localhost:9/a.dtd">',
    ],
)
def test_an_annotation_that_declares_entities(declared, copy_of):
    root = copy_of('voc')
    (root / XML).write_text(declared + (root / XML).read_text())
    [line] = look('voc', root)
    assert line.startswith(f'unreadable annotation: {root / XML}: it has a DOCTYPE')


@pytest.mark.parametrize(
    ('start', 'kind'),
    [
        ('<a>' * 100_000, 'unreadable annotation'),
        ('<?xml version="1.0" encoding="nope"?>', 'unreadable annotation'),
        ('<!--' + 'x' * 2**24 + '-->', 'unreadable annotation'),
    ],
    ids=['deep', 'encoding', 'large'],
)
def test_an_annotation_that_is_no_such(start, kind, copy_of):
    root = copy_of('voc')
    (root / XML).write_text(start + (root / XML).read_text())
    [line] = look('voc', root)
    assert line.startswith(f'{kind}: {root / XML}: ')


@pytest.mark.parametrize('value', ['nan', 'inf', '-1e999'])
def test_a_box_of_no_numbers(value, copy_of):
    root = copy_of('voc')
    text = (root / XML).read_text()
    start, rest = text.split('<xmin>', 1)
    rest = rest.split('</xmin>', 1)[1]
    (root / XML).write_text(f'{start}<xmin>{value}</xmin>{rest}')
    [line] = look('voc', root)
    assert line.startswith(f'unreadable annotation: {root / XML}: cannot convert float ')


BOMBS = [
    ('coco', 'train2017/000000000001.jpg', 'image'),
    ('coco', 'annotations/panoptic_train2017/000000000001.png', 'panoptic segmentation'),
    ('ade20k', 'images/training/ADE_train_00000002.jpg', 'image'),
    ('ade20k', 'annotations/training/ADE_train_00000002.png', 'label map'),
    ('voc', 'VOC2012/SegmentationClass/2012_000001.png', 'label map'),
]


@pytest.mark.parametrize(('kind', 'name', 'what'), BOMBS)
@pytest.mark.parametrize('side', [10000, 20000])
@pytest.mark.filterwarnings('ignore::PIL.Image.DecompressionBombWarning')
def test_a_decompression_bomb(kind, name, what, side, copy_of):
    root = copy_of(kind)
    bomb(root / name, side, side)
    [line] = look(kind, root)
    assert line.startswith(f'unreadable {what}: {root / name}: ')
    assert 'pixels' in line


POSTSCRIPT = b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n'


def test_postscript_is_not_run(copy_of, tmp_path, monkeypatch):
    root = copy_of('coco')
    path = root / 'train2017' / '000000000001.jpg'
    path.write_bytes(POSTSCRIPT)
    [line] = look('coco', root)
    assert line.endswith('it is PostScript, a program and not an image')
    with pytest.raises(InputError, match='it is PostScript'):
        LoadImage()({'img_path': str(path)})


@pytest.mark.parametrize('backend', ['pillow', 'cv2'])
@pytest.mark.parametrize('side', [10000, 20000, 60000])
@pytest.mark.filterwarnings('ignore::PIL.Image.DecompressionBombWarning')
def test_skips_cover_a_decompression_bomb(backend, side, tmp_path, capsys, monkeypatch):
    path = tmp_path / '\x1b[31m.png'
    bomb(path, side, side)
    decoded = []
    monkeypatch.setattr('mmcv.imfrombytes', lambda *_, **__: decoded.append(1))
    load = LoadImage(imdecode_backend=backend, max_skips=1)
    assert load({'img_path': str(path)}) is None
    warning = capsys.readouterr().err
    shown = tmp_path / r'\x1b[31m.png'
    assert warning.startswith(f'warning: image {shown} cannot be read (')
    assert 'pixels' in warning
    assert warning.endswith('left out, 1 of at most 1\n')
    with pytest.raises(InputError, match=r'\\x1b\[31m.png cannot be read .*pixels'):
        load({'img_path': str(path)})
    assert not decoded


def test_a_limit_of_ones_own(tmp_path, monkeypatch):
    Image.new('RGB', (30, 20)).save(tmp_path / 'a.png')
    results = {'img_path': str(tmp_path / 'a.png')}
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 600)
    assert LoadImage()(dict(results))['img_shape'] == (20, 30)
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 599)
    with pytest.raises(InputError, match='30x20 pixels are more than 599; raise PIL.Image.MAX'):
        LoadImage()(dict(results))


@pytest.mark.parametrize('backend', ['pillow', 'cv2'])
def test_skips_cover_what_no_decoder_knows(backend, tmp_path, capsys):
    (tmp_path / 'a.jpg').write_bytes(b'no image')
    load = LoadImage(imdecode_backend=backend, max_skips=1)
    assert load({'img_path': str(tmp_path / 'a.jpg')}) is None
    assert 'a.jpg cannot be read (' in capsys.readouterr().err


def test_a_segmentation_map_that_is_a_bomb(tmp_path):
    bomb(tmp_path / '\x1bmap.png')
    results = {'seg_map_path': str(tmp_path / '\x1bmap.png'), 'ori_shape': (5, 7)}
    with pytest.raises(InputError, match=r'\\x1bmap.png cannot be read .*pixels'):
        LoadSegMap(max_label=150)(results)


def test_a_name_that_no_image_has_in_a_training():
    with pytest.raises(InputError, match=r'image x{200}\.\.\.x{200} does not exist'):
        LoadImage()({'img_path': 'x' * 5000})


@pytest.mark.parametrize('name', ['/etc/passwd', '../../x.jpg'])
def test_a_list_of_a_training_that_leads_outside(name, tmp_path):
    for folder in ('train', 'meta'):
        (tmp_path / folder).mkdir()
    (tmp_path / 'train' / 'a..b.jpg').touch()
    names = tmp_path / 'meta' / 'train.txt'
    dataset = dict(type='ImageNet', data_root=str(tmp_path), split='train')
    names.write_text('a..b.jpg 0\n')
    check_data(dataset, 'd')
    names.write_text(f'a..b.jpg 0\n{name} 0\n')
    with pytest.raises(InputError, match=f'lists {name} 0, which leads out of the data set'):
        check_data(dataset, 'd')


VALUES = [
    *(None, True, -1, 0, 7, 10**400, 1e300, float('nan'), float('inf'), -float('inf')),
    *('', 'x', '\x1b[2J', '../../x', '/etc/passwd', 'x' * 5000, '\x00', '\ud800'),
    *([], [[]], [None], [float('nan')] * 6, {}, {'counts': None, 'size': SIZE}, nested(50)),
]


def damage_json(content, rng):
    """Replace, remove or repeat something at a place that is drawn."""
    place = content
    while True:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        key = rng.choice(keys)
        inner = place[key]
        if not isinstance(inner, (dict, list)) or not inner or rng.random() < 0.1:
            break
        place = inner
    kind = rng.randrange(4)
    if kind == 0:
        del place[key]
    elif kind == 1 and isinstance(place, list):
        place.append(copy.deepcopy(inner))
    else:
        place[key] = rng.choice(VALUES)


def damage_bytes(path, rng):
    content = bytearray(path.read_bytes())
    for _ in range(rng.randrange(1, 20)):
        content[rng.randrange(len(content))] = rng.randrange(256)
    path.write_bytes(content[: rng.randrange(len(content))] if rng.random() < 0.3 else content)


@pytest.mark.parametrize('source', [INSTANCES, PANOPTIC])
def test_drawn_damage_to_annotations(source, copy_of):
    rng = random.Random(source)
    root = copy_of('coco')
    whole = (root / source).read_text()
    found = 0
    for _ in range(25):
        content = json.loads(whole)
        for _ in range(3):
            # Each part as often as another, although one is much longer.
            damage_json(content[rng.choice(['images', 'annotations', 'annotations'])], rng)
        (root / source).write_text(json.dumps(content))
        lines = look('coco', root)
        found += bool(lines)
        assert all(visible(line).isprintable() for line in lines)
    assert found > 12


@pytest.mark.parametrize(
    ('kind', 'pattern'),
    [
        ('coco', 'annotations/*2017*/*.png'),
        ('ade20k', 'annotations/*/*.png'),
        ('ade20k', 'images/*/*.jpg'),
        ('voc', 'VOC2012/Annotations/*.xml'),
        ('voc', 'VOC2012/SegmentationClass/*.png'),
        ('voc', 'VOC2012/ImageSets/*/*.txt'),
    ],
)
@pytest.mark.filterwarnings('ignore::PIL.Image.DecompressionBombWarning')
def test_drawn_damage_to_files(kind, pattern, copy_of):
    rng = random.Random(pattern)
    root = copy_of(kind)
    paths = sorted(root.glob(pattern))
    whole = {path: path.read_bytes() for path in paths}
    found = 0
    for _ in range(8):
        for path, content in whole.items():
            path.write_bytes(content)
            damage_bytes(path, rng)
        found += bool(look(kind, root))
    assert found > 3
