import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmattn.datasets.audit.faults import Fault, Plan
from mmattn.datasets.audit.run import AUDITED, Report, carry_out, inspect_dataset
from mmattn.datasets.benchmarks import BENCHMARKS
from mmattn.errors import InputError
from tests.forked import Script

ROOT = Path(__file__).parents[3]
INSTANCES = 'annotations/instances_train2017.json'
PANOPTIC = 'annotations/panoptic_train2017.json'
XML = 'VOC2012/Annotations/2012_000001.xml'


@pytest.fixture(scope='module')
def generated(tmp_path_factory):
    folder = tmp_path_factory.mktemp('generated')
    for kind in AUDITED:
        # Six images show a crowd, which is described by run lengths.
        BENCHMARKS[kind].make(folder / kind, train=6, val=1, size=(48, 64))
    return folder


@pytest.fixture
def copy(generated, tmp_path):
    """Give a copy that may be damaged."""

    def copy_of(kind):
        shutil.copytree(generated / kind, tmp_path / kind)
        return tmp_path / kind

    return copy_of


@pytest.mark.parametrize('kind', AUDITED)
@pytest.mark.parametrize('workers', [1, 3])
def test_a_clean_copy(kind, workers, generated, capfd):
    images = ('.jpg', '.JPEG', '_leftImg8bit.png')
    files = [path for path in (generated / kind).rglob('*') if path.is_file()]
    # Those of CamVid are named like its label maps.
    count = sum(p.name.endswith(images) or p.parent.name in ('train', 'val', 'test') for p in files)
    if kind == 'cifar100':  # in two files
        count = 7
    assert count >= 7
    report = inspect_dataset(kind, generated / kind, workers=workers)
    assert report == Report(count, [], [])
    assert str(report) == f'checked {count} images: 0 faults'
    out, err = capfd.readouterr()
    assert out == ''
    # No bar in a pipe.
    assert all(re.fullmatch(r'checked \d+/\d+ images', line) for line in err.splitlines())
    assert err.splitlines()[-1] == f'checked {count}/{count} images'
    assert len(err.splitlines()) == min(count, 10)


def remove(pattern):
    def damage(root):
        found = list(root.glob(pattern))
        assert found
        for path in found:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return damage


def truncate(name):
    def damage(root):
        content = (root / name).read_bytes()
        (root / name).write_bytes(content[: len(content) * 2 // 3])

    return damage


def rename(name, new):
    return lambda root: (root / name).rename((root / name).with_name(new))


def turn(name):
    def damage(root):
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.open(root / name).save(root / name, exif=exif.tobytes())

    return damage


def resize(name):
    def damage(root):
        image = Image.open(root / name)
        image.resize((image.width + 3, image.height), Image.Resampling.NEAREST).save(root / name)

    return damage


def relabel(name, label):
    def damage(root):
        image = Image.open(root / name)
        labels = np.array(image)
        labels[3, 4] = label
        changed = Image.fromarray(labels)
        if image.mode == 'P':
            changed.putpalette(image.getpalette())
        changed.save(root / name)

    return damage


def recolour(name):
    def damage(root):
        Image.open(root / name).convert('RGB').save(root / name)

    return damage


def rewrite(name, *replacements):
    """Replace what is found first in a text."""

    def damage(root):
        text = (root / name).read_text()
        for pattern, new in replacements:
            text, count = re.subn(pattern, new, text, count=1)
            assert count == 1
        (root / name).write_text(text)

    return damage


def edit(name, change):
    """Change the content of a JSON file."""

    def damage(root):
        content = json.loads((root / name).read_text())
        change(content)
        (root / name).write_text(json.dumps(content))

    return damage


def annotate(**values):
    return edit(INSTANCES, lambda content: content['annotations'][0].update(values))


def crowd(content):
    return next(a for a in content['annotations'] if a['iscrowd'])


def segment(content):
    return content['annotations'][0]['segments_info'][0]


JPG = 'train2017/000000000001.jpg'
ADE_JPG = 'images/training/ADE_train_00000002.jpg'
ADE_PNG = 'annotations/training/ADE_train_00000002.png'
CAMVID_MAP = 'trainannot/0001TP_000002.png'
CITY_IMAGE = 'leftImg8bit/train/aachen/aachen_000002_000019_leftImg8bit.png'
CITY_MAP = 'gtFine/train/aachen/aachen_000002_000019_gtFine_labelTrainIds.png'
VOC_JPG = 'VOC2012/JPEGImages/2012_000001.jpg'
VOC_MAP = 'VOC2012/SegmentationClass/2012_000001.png'

# What is done to a copy, and the faults that are found: kind and how the place goes on or ends.
DAMAGES = [
    ('ade20k', remove(ADE_JPG), ['warning: missing image: .*00002.jpg, of .*00002.png']),
    ('ade20k', remove(ADE_PNG), ['missing label map: .*00002.png']),
    ('ade20k', truncate(ADE_JPG), ['unreadable image: .*00002.jpg: image file is truncated']),
    ('ade20k', truncate(ADE_PNG), ['unreadable label map: .*00002.png: ']),
    ('ade20k', resize(ADE_PNG), ['sizes that differ: .*png: (..)x.., but (..)x.. in its image']),
    ('ade20k', relabel(ADE_PNG, 151), ['label out of range: .*00002.png: 151$']),
    ('ade20k', recolour(ADE_PNG), ['label map of another format: .*00002.png: mode RGB, exp']),
    ('camvid', remove(CAMVID_MAP), ['missing label map: .*trainannot/0001TP_000002.png']),
    ('camvid', relabel(CAMVID_MAP, 12), ['label out of range: .*0001TP_000002.png: 12$']),
    (
        'cityscapes',
        remove(CITY_IMAGE),
        ['warning: missing image: .*leftImg8bit.png, of .*TrainIds.png'],
    ),
    (
        'cityscapes',
        remove('gtFine/*/*/*_labelTrainIds.png'),
        7 * ['labelIds without labelTrainIds: .*labelTrainIds.png: make it with .*cityscapes.py'],
    ),
    (
        'cityscapes',
        remove('gtFine/train/*/*_000002_*'),
        ['missing label map: .*_000002_.*labelTrainIds.png'],
    ),
    ('cityscapes', relabel(CITY_MAP, 19), ['label out of range: .*labelTrainIds.png: 19$']),
    ('cityscapes', truncate(CITY_IMAGE), ['unreadable image: .*leftImg8bit.png: ']),
    ('voc', remove(VOC_JPG), ['missing image: .*2012_000001.jpg']),
    ('voc', remove(XML), ['missing annotation: .*2012_000001.xml']),
    ('voc', remove(VOC_MAP), ['missing label map: .*SegmentationClass/2012_000001.png']),
    ('voc', relabel(VOC_MAP, 21), ['label out of range: .*2012_000001.png: 21$']),
    ('voc', truncate(XML), ['unreadable annotation: .*2012_000001.xml: ']),
    (
        'voc',
        rewrite(XML, (r'<width>\d+', '<width>640')),
        ['sizes that differ: .*xml: 640x.*, but .* in its image'],
    ),
    (
        'voc',
        rewrite(XML, (r'<name>\w+', '<name>tree')),
        ['warning: unknown category: .*xml: object 1, tree'],
    ),
    (
        'voc',
        rewrite(XML, (r'<xmax>\d+', '<xmax>99')),
        ['warning: box outside its image: .*xml: object 1, aeroplane: .*, 98, .* in .*x'],
    ),
    (
        'voc',
        rewrite(XML, (r'<xmin>\d+', '<xmin>50'), (r'<xmax>\d+', '<xmax>20')),
        ['box without area: .*xml: object 1, aeroplane: 49, .*, 19, '],
    ),
    ('voc', rewrite(XML, (r'<ymin>\d+', '<ymin>')), ['unreadable annotation: .*000001.xml: ']),
    ('coco', remove(JPG), ['missing image: .*000000000001.jpg']),
    (
        'coco',
        edit(INSTANCES, lambda content: content['images'][1].update(file_name='a\\b.jpg')),
        [r'missing image: .*train2017/a\\b.jpg: it has a backslash; write folders with /$'],
    ),
    (
        'coco',
        rename(JPG, '000000000001.JPG'),
        ['missing image: .*/000000000001.jpg: there is 000000000001.JPG$'],
    ),
    (
        'coco',
        turn(JPG),
        3
        * [
            'sizes that differ: .*/000000000001.jpg: (..)x(..), but ..x.. in .*2017.json '
            r'\(turned, as by an EXIF orientation\)$'
        ],
    ),
    (
        'coco',
        annotate(segmentation=[list('123456'), [1, 1, 9, 1, 9, 9]]),
        ['warning: numbers as texts: .*annotation 1 of 000000000001.jpg: segmentation$'],
    ),
    (
        'coco',
        edit(INSTANCES, lambda content: [a.pop('area') for a in content['annotations'][:2]]),
        2 * [r'incomplete entry: .*annotation \d of 00000000000.\.jpg: area is None$'],
    ),
    (
        'voc',
        rewrite('VOC2012/ImageSets/Main/train.txt', ('$', '\n')),
        ['unreadable list: .*/Main/train.txt: line 7 is empty; remove it$'],
    ),
    (
        'voc',
        rewrite('VOC2012/ImageSets/Main/train.txt', ('^', '\ufeff')),
        [
            'unreadable list: .*/train.txt: it starts with a byte order mark; save it as UTF-8 '
            'without one$'
        ],
    ),
    (
        'ade20k',
        rename(ADE_JPG, 'ADE_train_00000002.JPG'),
        [
            'warning: image that is not read: .*/ADE_train_00000002.JPG: only [*].jpg are$',
            'warning: missing image: .*00002.jpg, of .*00002.png',
        ],
    ),
    (
        'imagenet',
        rewrite('meta/train.txt', (r' \d+\n', ' 1000\n')),
        ['label out of range: .*meta/train.txt: line 1, n.*.JPEG 1000: expected 0 to 999$'],
    ),
    (
        'imagenet',
        remove('meta/train.txt'),
        ['wrong number of classes: .*/train: 6 folders, not 1000$'],
    ),
    (
        'cub',
        rewrite('image_class_labels.txt', ('^1 1\n', '1 201\n')),
        ['label out of range: .*image_class_labels.txt: 1 201: expected 1 to 200$'],
    ),
    (
        'cub',
        rewrite('train_test_split.txt', ('^1 1\n', '1 2\n')),
        ['image in no split: .*train_test_split.txt: 1 2: expected 0 to 1$'],
    ),
    (
        'cub',
        rewrite('train_test_split.txt', ('^1 1\n', '')),
        ['number that is not in both lists: .*train_test_split.txt: 1$'],
    ),
    (
        'cub',
        rewrite('images.txt', ('^1 001', '1 ../001')),
        ['name outside its folder: .*images.txt: ../001'],
    ),
    (
        'cub',
        rewrite('images.txt', ('^1 ', 'one ')),
        ["unreadable list: .*images.txt: line 1 is 'one 001.*expected a number, a blank and"],
    ),
    (
        'imagenet21k',
        rewrite('meta/val.txt', (r' \d+\n', ' 21841\n')),
        ['label out of range: .*meta/val.txt: line 1, n.*.JPEG 21841: expected 0 to 21840$'],
    ),
    (
        'imagenet21k',
        remove('meta/*'),
        ['wrong number of classes: .*/train: 6 folders, not 21841$'],
    ),
    ('coco', truncate(JPG), ['unreadable image: .*000000000001.jpg: image file is truncated']),
    (
        'coco',
        edit(INSTANCES, lambda content: content['images'][1].update(width=640, height=480)),
        ['sizes that differ: .*2.jpg: .*, but 640x480 in .*instances_train2017.json'],
    ),
    ('coco', truncate(INSTANCES), ['unreadable annotation file: .*instances_train2017.json: ']),
    ('coco', rewrite(INSTANCES, ('"images"', '"pics"')), ['unreadable annotation file: .*expect']),
    (
        'coco',
        annotate(bbox=[60, 10, 20, 5]),
        ['warning: box outside its image: .*annotation 1 of 000000000001.jpg: 60, 10, 80, 15 in '],
    ),
    (
        'coco',
        annotate(bbox=[9, 9, 0, 5]),
        ['warning: box without area: .*annotation 1 of .*: 9, 9, 9, 14'],
    ),
    (
        'coco',
        annotate(bbox=[9, 9, 5]),
        [r'incomplete entry: .*annotation 1 of .*bbox is \[9, 9, 5\]'],
    ),
    ('coco', annotate(segmentation=[]), ['missing mask: .*annotation 1 of 000000000001.jpg']),
    (
        'coco',
        annotate(segmentation=[[1, 1, 9, 9, 5, 5]]),
        ['warning: empty mask: .*annotation 1 of '],
    ),
    ('coco', annotate(segmentation=[[1, 1, 9, 9]]), ['broken mask: .*three corners']),
    (
        'coco',
        edit(INSTANCES, lambda content: crowd(content)['segmentation']['counts'].append(7)),
        [r'broken mask: .*: \d+ pixels, expected \d+'],
    ),
    (
        'coco',
        edit(INSTANCES, lambda content: crowd(content)['segmentation'].update(size=[4, 5])),
        [r'broken mask: .*: size \[4, 5\], expected'],
    ),
    (
        'coco',
        annotate(image_id=77),
        ['warning: unknown image: .*instances_.*: annotation 1: image 77'],
    ),
    (
        'coco',
        annotate(category_id=12),
        ['warning: unknown category: .*annotation 1: category 12'],
    ),
    ('coco', annotate(id=2), ['duplicate id: .*instances_train2017.json: annotation 2, 2 times']),
    (
        'coco',
        edit(INSTANCES, lambda content: content['annotations'][0].pop('bbox')),
        ['incomplete entry: .*: annotation 1 of .*.jpg: bbox is None'],
    ),
    (
        'coco',
        annotate(segmentation=None),
        ['missing mask: .*annotation 1 of .*: segmentation is None'],
    ),
    (
        'coco',
        edit(INSTANCES, lambda content: content['images'][1].update(width='640')),
        [
            "incomplete entry: .*: image 2: width is '640'",
            *(3 * ['warning: unknown image: .*: image 2']),
        ],
    ),
    (
        'coco',
        edit(PANOPTIC, lambda content: content['annotations'].append('x')),
        ['incomplete entry: .*: annotation number 6: image_id is None'],
    ),
    (
        'coco',
        edit(INSTANCES, lambda content: content['images'].append(content['images'][0])),
        [
            'duplicate id: .*: image 1, 2 times',
            'warning: duplicate id: .*: file name 000000000001.jpg, 2 times',
        ],
    ),
    (
        'coco',
        remove('annotations/panoptic_train2017'),
        ['missing folder: .*panoptic_train2017: unpack panoptic_train2017.zip'],
    ),
    (
        'coco',
        remove('annotations/panoptic_train2017/000000000003.png'),
        ['missing panoptic segmentation: .*panoptic_train2017/000000000003.png'],
    ),
    (
        'coco',
        edit(PANOPTIC, lambda content: segment(content).update(id=77)),
        [
            'empty mask: .*000000000001.png: segment 77 is not shown',
            r'unknown segment: .*000000000001.png: segment \d+ is not described',
        ],
    ),
    (
        'coco',
        edit(PANOPTIC, lambda content: segment(content).update(category_id=91)),
        ['unknown category: .*panoptic_.*: annotation .* of .*: category 91'],
    ),
    (
        'coco',
        edit(PANOPTIC, lambda content: content['annotations'].pop(2)),
        ['missing annotation: .*panoptic_train2017.json: segmentation of image 3'],
    ),
    (
        'coco',
        edit(PANOPTIC, lambda content: content['annotations'][2].update(image_id=77)),
        [
            'missing annotation: .*panoptic_train2017.json: segmentation of image 3',
            'warning: unknown image: .*: annotation of 000000000003.png: image 77',
        ],
    ),
    (
        'coco',
        edit(PANOPTIC, lambda content: content['annotations'][0]['segments_info'].pop()),
        [r'unknown segment: .*000000000001.png: segment \d+ is not described'],
    ),
]


@pytest.mark.parametrize(
    ('kind', 'damage', 'expected'),
    DAMAGES,
    ids=[f'{kind}-{expected[0][:40]}' for kind, _, expected in DAMAGES],
)
def test_a_fault_is_found_and_nothing_else(kind, damage, expected, copy):
    root = copy(kind)
    damage(root)
    report = inspect_dataset(kind, root, workers=1)
    found = sorted(
        f'{prefix}{fault.kind}: {fault.place}'
        for prefix, listed in (('', report.faults), ('warning: ', report.warnings))
        for fault in listed
    )
    assert len(found) == len(expected), found
    for line, pattern in zip(found, expected, strict=True):
        assert re.match(pattern, line), line


def test_compressed_run_lengths(copy):
    """Masks may be stored in the compressed form of pycocotools as well."""
    mask = pytest.importorskip('pycocotools.mask', reason='needs pycocotools')
    root = copy('coco')

    def compress(content):
        group = crowd(content)
        pixels = group['segmentation']
        whole = mask.frPyObjects(pixels, *pixels['size'])
        group['segmentation'] = {**whole, 'counts': whole['counts'].decode()}
        empty = mask.encode(np.zeros(pixels['size'], np.uint8, order='F'))
        content['annotations'].append(
            {**group, 'id': 900, 'segmentation': {**empty, 'counts': empty['counts'].decode()}}
        )

    edit(INSTANCES, compress)(root)
    [fault] = inspect_dataset('coco', root, workers=1).warnings
    assert fault.kind == 'empty mask'
    assert 'annotation 900 of' in fault.place


@pytest.mark.parametrize(('shift', 'count'), [(0.9, 0), (1.0, 1)])
def test_a_box_may_be_rounded_by_less_than_a_pixel(shift, count, copy):
    root = copy('coco')
    width = json.loads((root / INSTANCES).read_text())['images'][0]['width']
    annotate(bbox=[9, 9, width - 9 + shift, 5])(root)
    assert len(inspect_dataset('coco', root, workers=1).warnings) == count


@pytest.mark.parametrize(
    ('kind', 'removed', 'count', 'note'),
    [
        ('ade20k', '*/training', 1, None),
        ('cityscapes', '*/train', 1, None),
        ('cityscapes', 'gtFine/val', 6, 'val is left out: there is no folder .*gtFine/val'),
        ('coco', 'train2017', 1, '.*instances_train2017.json is left out: there is no folder'),
        ('voc', 'VOC2007', 13, None),
        ('voc', 'VOC2012/ImageSets/Segmentation', 15, None),
    ],
)
def test_a_part_of_a_data_set(kind, removed, count, note, copy):
    root = copy(kind)
    remove(removed)(root)
    report = inspect_dataset(kind, root, workers=1)
    assert (report.images, report.faults) == (count, [])
    assert re.match(note, report.notes[0]) if note else not report.notes


def test_pascal_voc_without_augmentation(copy):
    root = copy('voc')
    remove('VOC2012/SegmentationClassAug')(root)
    faults = inspect_dataset('voc', root, workers=1).faults
    assert [fault.kind for fault in faults] == 6 * ['missing label map']
    remove('VOC2012/ImageSets/Segmentation/*aug.txt')(root)
    assert inspect_dataset('voc', root, workers=1).faults == []
    assert inspect_dataset('voc', root / 'VOC2012', workers=1).images == 7


def test_real_layout_of_a_sample(copy):
    """Images in folders of their own, as some copies of COCO and of ADE20K have them."""
    coco, ade20k = copy('coco'), copy('ade20k')
    (coco / 'images').mkdir()
    (coco / 'val2017').rename(coco / 'images' / 'val2017')
    assert inspect_dataset('coco', coco, workers=1) == Report(7, [], [])
    for folder in ('images', 'annotations'):
        for path in (ade20k / folder / 'validation').iterdir():
            path.rename(ade20k / folder / path.name)
    assert inspect_dataset('ade20k', ade20k, workers=1) == Report(7, [], [])


@pytest.mark.parametrize('kind', AUDITED)
def test_another_folder(kind, tmp_path):
    with pytest.raises(InputError, match='; expected '):
        inspect_dataset(kind, tmp_path)
    with pytest.raises(InputError, match='nope is not a folder; give the folder of a data set'):
        inspect_dataset(kind, tmp_path / 'nope')


def test_no_image_at_all(copy):
    root = copy('cityscapes')
    remove('gtFine/*')(root)
    with pytest.raises(InputError, match=r'holds no image of cityscapes \(train is left out: ther'):
        inspect_dataset('cityscapes', root)


def test_full_release_of_ade20k(copy):
    root = copy('ade20k')
    (root / 'index_ade20k.pkl').touch()
    with pytest.raises(InputError, match='is the full ADE20K release; expected the benchmark ADE'):
        inspect_dataset('ade20k', root)


def test_workers_below_one():
    with pytest.raises(InputError, match='workers must be at least 1, got 0'):
        carry_out(Plan(), workers=0)


def test_a_process_that_is_killed(tmp_path, monkeypatch):
    plan = Plan(tasks=[partial(os._exit, 1)])
    monkeypatch.setitem(AUDITED, 'coco', lambda root: plan)
    with pytest.raises(InputError, match='a process ended abruptly.* fewer workers'):
        inspect_dataset('coco', tmp_path, workers=1)


def test_report_shows_the_first_places_of_each_kind():
    faults = [Fault('missing image', f'{k}.jpg') for k in range(7)] + [Fault('empty mask', 'a')]
    warnings = [Fault('box outside its image', 'c', is_warning=True)]
    assert str(Report(9, faults, ['b is left out'], warnings)).splitlines() == [
        'note: b is left out',
        'warning: box outside its image: 1',
        '  c',
        'empty mask: 1',
        '  a',
        'missing image: 7',
        *(f'  {k}.jpg' for k in range(5)),
        '  and 2 more',
        'checked 9 images: 8 faults, 1 warning',
    ]


def start_tool(*arguments):
    return Script(ROOT / 'tools' / 'check_dataset.py', *arguments)


def test_tool_ends_in_one_line_on_ctrl_c(tmp_path):
    """Many large images keep the processes busy when Ctrl-C reaches all of them."""
    for folder in ('images', 'annotations'):
        (tmp_path / folder).mkdir()
    Image.new('L', (700, 700)).save(tmp_path / 'annotations' / '0.png')
    Image.new('RGB', (700, 700)).save(tmp_path / 'images' / '0.jpg')
    for number in range(1, 2000):
        os.link(tmp_path / 'annotations' / '0.png', tmp_path / 'annotations' / f'{number}.png')
        os.link(tmp_path / 'images' / '0.jpg', tmp_path / 'images' / f'{number}.jpg')
    # A fork of another process would wait for these itself when it ends.
    tool = subprocess.Popen(
        [sys.executable, ROOT / 'tools' / 'check_dataset.py', 'ade20k', tmp_path, '--workers', '2'],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        start_new_session=True,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
    )
    try:
        # The first line shows that the processes run.
        progress = ''
        give_up = time.monotonic() + 120
        while not re.search(r'[1-9]00/2000', progress) and time.monotonic() < give_up:
            progress += tool.stderr.read(1)
        os.killpg(tool.pid, signal.SIGINT)
        out, err = tool.communicate(timeout=120)
    finally:
        tool.kill()
    assert tool.returncode == 130
    assert out == ''
    assert err.endswith('\nerror: interrupted\n')
    assert 'Traceback' not in err
