"""What may be wrong with data, or only looks so: a table of changes to a small data set."""

import io
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from tests.datasets.audit.drawn import HEIGHT, WIDTH, Kind


class Copy:
    """A data set that is damaged.

    Args:
        root: Its folder.
        kind: Its kind.
        rng: Chooses what is damaged.
    """

    def __init__(self, root: Path, kind: Kind, rng: np.random.Generator) -> None:
        self.root, self.kind, self.rng = root, kind, rng

    def one(self, pattern: str) -> Path:
        # Without what another damage has put there.
        found = sorted(p for p in self.root.glob(pattern) if p.is_file() and p.name[0] != '.')
        return found[self.rng.integers(len(found))]

    @property
    def image(self) -> Path:
        return self.one(self.kind.images)

    def write_image(self, image: Image.Image, form: str, **options) -> None:
        path = self.image
        content = io.BytesIO()
        image.save(content, form, **options)
        path.write_bytes(content.getvalue())

    def edit_json(self, change) -> None:
        path = self.one(self.kind.jsons)
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    def edit_annotation(self, **values) -> None:
        def change(content):
            chosen = self.rng.choice(content['annotations'])
            chosen = self.rng.choice(chosen.get('segments_info', [chosen]))
            for key, value in values.items():
                if value is _NONE:
                    chosen.pop(key, None)
                else:
                    chosen[key] = value

        self.edit_json(change)

    def edit_text(self, pattern: str, change) -> None:
        path = self.one(pattern)
        path.write_text(change(path.read_text()))


_NONE = object()
_NAN, _INF = float('nan'), float('inf')


def _ramp(high: float, kind: type) -> Image.Image:
    return Image.fromarray(np.tile(np.linspace(0, high, WIDTH), (HEIGHT, 1)).astype(kind))


def _photo(mode: str = 'RGB', size: tuple[int, int] = (WIDTH, HEIGHT)) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def _turned(orientation: int, size: tuple[int, int]) -> tuple[Image.Image, dict]:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return _photo(size=size), dict(exif=exif.tobytes())


def _truncate(copy: Copy, pattern: str) -> None:
    path = copy.one(pattern)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


def _oriented(copy: Copy, orientation: int, size: tuple[int, int]) -> None:
    image, options = _turned(orientation, size)
    copy.write_image(image, 'JPEG', **options)


def _frames(copy: Copy, form: str) -> None:
    frames = [_photo(), _photo().rotate(180)]
    copy.write_image(frames[0], form, save_all=True, append_images=frames[1:])


def _link(copy: Copy) -> None:
    path = copy.image
    target = copy.root / f'elsewhere{len(list(copy.root.iterdir()))}'
    shutil.move(path, target)
    path.symlink_to(target)


def _beside(copy: Copy, name, content: bytes = b'none') -> None:
    """Put a file beside an image."""
    with open(os.path.join(os.fsencode(copy.image.parent), os.fsencode(name)), 'wb') as file:
        file.write(content)


IMAGES = {
    'nothing': lambda copy: None,
    'truncated image': lambda copy: _truncate(copy, copy.kind.images),
    'image of no bytes': lambda copy: copy.image.write_bytes(b''),
    'image that is a text': lambda copy: copy.image.write_text('none'),
    'missing image': lambda copy: copy.image.unlink(),
    '16 bits': lambda copy: copy.write_image(_ramp(65535, np.uint16), 'PNG'),
    '16 bits in a TIFF': lambda copy: copy.write_image(_ramp(65535, np.uint16), 'TIFF'),
    '16 bits in a PGM': lambda copy: copy.write_image(_ramp(65535, np.uint16), 'PPM'),
    'floats to 1': lambda copy: copy.write_image(_ramp(1, np.float32), 'TIFF'),
    'floats to 255': lambda copy: copy.write_image(_ramp(255, np.float32), 'TIFF'),
    'large whole numbers': lambda copy: copy.write_image(_ramp(70000, np.int32), 'TIFF'),
    'gray': lambda copy: copy.write_image(_photo('L'), 'PNG'),
    'one bit': lambda copy: copy.write_image(_photo('1'), 'PNG'),
    'palette': lambda copy: copy.write_image(_photo('P'), 'PNG'),
    'alpha': lambda copy: copy.write_image(_photo('RGBA'), 'PNG'),
    'gray with alpha': lambda copy: copy.write_image(_photo('LA'), 'PNG'),
    'CMYK': lambda copy: copy.write_image(_photo('CMYK'), 'JPEG'),
    'animated GIF': lambda copy: _frames(copy, 'GIF'),
    'TIFF of two pages': lambda copy: _frames(copy, 'TIFF'),
    'upside down': lambda copy: _oriented(copy, 3, (WIDTH, HEIGHT)),
    'turned': lambda copy: _oriented(copy, 6, (WIDTH, HEIGHT)),
    'turned and stored so': lambda copy: _oriented(copy, 6, (HEIGHT, WIDTH)),
    'another size': lambda copy: copy.write_image(_photo(size=(WIDTH + 3, HEIGHT)), 'PNG'),
    'extension in capitals': lambda copy: (path := copy.image).rename(
        path.with_suffix(path.suffix.upper())
    ),
    'link': _link,
    'link to nothing': lambda copy: (copy.image.parent / 'nowhere.jpg').symlink_to('nothing'),
    'hidden files': lambda copy: [
        _beside(copy, name) for name in ('._0.jpg', '._0_leftImg8bit.png', '.DS_Store')
    ],
    'Thumbs.db': lambda copy: _beside(copy, 'Thumbs.db'),
}
LABELS = {
    'truncated labels': lambda copy: _truncate(copy, copy.kind.labels),
    'missing labels': lambda copy: copy.one(copy.kind.labels).unlink(),
    'labels of another size': lambda copy: Image.new('L', (WIDTH, HEIGHT + 1)).save(
        copy.one(copy.kind.labels)
    ),
    'labels in colour': lambda copy: Image.new('RGB', (WIDTH, HEIGHT)).save(
        copy.one(copy.kind.labels)
    ),
    'label out of range': lambda copy: Image.new('L', (WIDTH, HEIGHT), 200).save(
        copy.one(copy.kind.labels)
    ),
    'labels of 16 bits': lambda copy: _ramp(300, np.uint16).save(copy.one(copy.kind.labels)),
    'labels of one bit': lambda copy: _photo('1').save(copy.one(copy.kind.labels)),
    'palette of labels': lambda copy: Image.new('P', (WIDTH, HEIGHT), 1).save(
        copy.one(copy.kind.labels)
    ),
    'labels with alpha': lambda copy: Image.new('LA', (WIDTH, HEIGHT)).save(
        copy.one(copy.kind.labels)
    ),
    'labels without an image': lambda copy: shutil.copy(
        path := copy.one(copy.kind.labels), path.with_name(f'x{path.name}')
    ),
}
LISTS = {
    'empty list': lambda copy: copy.edit_text(copy.kind.lists, lambda text: ''),
    'empty line': lambda copy: copy.edit_text(copy.kind.lists, lambda text: f'{text}\n'),
    'byte order mark': lambda copy: copy.edit_text(copy.kind.lists, lambda text: f'\ufeff{text}'),
    'trailing blank': lambda copy: copy.edit_text(
        copy.kind.lists, lambda text: text.replace('\n', ' \n', 1)
    ),
    'no last line end': lambda copy: copy.edit_text(copy.kind.lists, str.rstrip),
    'Windows line ends': lambda copy: copy.edit_text(
        copy.kind.lists, lambda text: text.replace('\n', '\r\n')
    ),
    'name that is not there': lambda copy: copy.edit_text(
        copy.kind.lists, lambda text: f'{text}x 0\n'
    ),
    'bytes that are no text': lambda copy: copy.one(copy.kind.lists).write_bytes(b'\xff\xfex\n'),
    'twice in a list': lambda copy: copy.edit_text(copy.kind.lists, lambda text: text + text),
    'missing list': lambda copy: copy.one(copy.kind.lists).unlink(),
}
CLASS_LISTS = {
    'line without a class': lambda copy: copy.edit_text(
        copy.kind.lists, lambda text: text.rsplit(' ', 1)[0] + '\n'
    ),
    'class out of range': lambda copy: copy.edit_text(
        copy.kind.lists, lambda text: re.sub(r' 0\n', ' 1000\n', text)
    ),
    'negative class': lambda copy: copy.edit_text(
        copy.kind.lists, lambda text: re.sub(r' 0\n', ' -1\n', text)
    ),
    'tabs': lambda copy: copy.edit_text(copy.kind.lists, lambda text: text.replace(' ', '\t')),
}
FOLDERS = {
    'name of no text': lambda copy: shutil.copy(
        path := copy.image, os.path.join(os.fsencode(path.parent), b'\xff' + os.fsencode(path.name))
    ),
    'folder without images': lambda copy: (copy.image.parents[1] / 'more').mkdir(exist_ok=True),
}
CLASS_FOLDERS = {
    'hidden folder': lambda copy: (copy.image.parents[1] / '.ipynb_checkpoints').mkdir(
        exist_ok=True
    ),
}


def _annotation(**values):
    return lambda copy: copy.edit_annotation(**values)


def _content(change):
    return lambda copy: copy.edit_json(change)


_BOX = [2, 3, 12, 17]
ANNOTATIONS = {
    'no area': _annotation(area=_NONE),
    'null as area': _annotation(area=None),
    'area as a text': _annotation(area='9'),
    'NaN as area': _annotation(area=_NAN),
    'area of nothing': _annotation(area=0),
    'area below nothing': _annotation(area=-4),
    'no iscrowd': _annotation(iscrowd=_NONE),
    'null as iscrowd': _annotation(iscrowd=None),
    'iscrowd as a text': _annotation(iscrowd='no'),
    'no box': _annotation(bbox=_NONE),
    'null as box': _annotation(bbox=None),
    'box of three': _annotation(bbox=[2, 3, 12]),
    'box of texts': _annotation(bbox=['2', '3', '12', '17']),
    'NaN in a box': _annotation(bbox=[2, _NAN, 12, 17]),
    'infinite box': _annotation(bbox=[2, 3, _INF, 17]),
    'null in a box': _annotation(bbox=[2, None, 12, 17]),
    'box without width': _annotation(bbox=[2, 3, 0, 17]),
    'negative box': _annotation(bbox=[14, 20, -12, -17]),
    'thin box': _annotation(bbox=[2, 3, 0.5, 17]),
    'box outside': _annotation(bbox=[200, 3, 12, 17]),
    'box outside, no area': _annotation(bbox=[200, 3, 12, 17], area=_NONE),
    'box partly outside': _annotation(bbox=[30, 3, 30, 17]),
    'unknown image': _annotation(image_id=99),
    'unknown category': _annotation(category_id=77),
    'no category': _annotation(category_id=_NONE),
    'category as a text': _annotation(category_id='1'),
    'no id': _annotation(id=_NONE),
    'id of many digits': _annotation(id=904600516168),
    'ignored': _annotation(ignore=1, bbox=None),
    'id as a text': _annotation(id='a'),
    'no annotations': _content(lambda c: c.update(annotations=[])),
    'image without annotations': _content(
        lambda c: c['images'].append(dict(c['images'][0], id=77))
    ),
    'image without a file': _content(
        lambda c: c['images'].append(dict(c['images'][0], id=77, file_name='none.jpg'))
    ),
    'image twice': _content(lambda c: c['images'].append(dict(c['images'][0]))),
    'backslash': _content(lambda c: c['images'][0].update(file_name='sub\\0.jpg')),
    'image without width': _content(lambda c: c['images'][0].pop('width')),
    'width as a text': _content(lambda c: c['images'][0].update(width='40')),
    'width as a float': _content(lambda c: c['images'][0].update(width=float(WIDTH))),
    'negative width': _content(lambda c: c['images'][0].update(width=-40)),
    'another width': _content(lambda c: c['images'][0].update(width=WIDTH + 9)),
    'image without a name': _content(lambda c: c['images'][0].pop('file_name')),
    'category without a name': _content(lambda c: c['categories'][0].pop('name')),
    'category twice': _content(lambda c: c['categories'].append(dict(c['categories'][0]))),
    'two categories of a name': _content(
        lambda c: c['categories'].append(dict(c['categories'][0], id=90))
    ),
    'category that is not read': _content(
        lambda c: c['categories'].append(dict(c['categories'][0], id=90, name='widget'))
    ),
    'no category that is read': _content(
        lambda c: [category.update(name='widget') for category in c['categories']]
    ),
    'texts as ids': _content(
        lambda c: [
            *(image.update(id=str(image['id'])) for image in c['images']),
            *(a.update(image_id=str(a['image_id'])) for a in c['annotations']),
        ]
    ),
    'JSON with a byte order mark': lambda copy: copy.edit_text(
        copy.kind.jsons, lambda text: f'\ufeff{text}'
    ),
    'JSON that is cut': lambda copy: copy.edit_text(copy.kind.jsons, lambda text: text[:-9]),
    'JSON of no text': lambda copy: copy.one(copy.kind.jsons).write_bytes(b'{"\xff": 1}'),
    'missing JSON': lambda copy: copy.one(copy.kind.jsons).unlink(),
    'JSON without images': _content(lambda c: c.pop('images')),
    'JSON without categories': _content(lambda c: c.pop('categories')),
}
_SIZE = [HEIGHT, WIDTH]
INSTANCES = {
    'annotation twice': _content(lambda c: c['annotations'].append(dict(c['annotations'][0]))),
}


def _mask(value):
    return _annotation(segmentation=value)


def _lengths(counts, size=_SIZE):
    return _mask(dict(size=size, counts=counts))


MASKS = {
    'no mask': _mask(_NONE),
    'null as mask': _mask(None),
    'mask of nothing': _mask([]),
    'mask as a text': _mask('x'),
    'flat polygon': _mask([2, 3, 14, 3, 14, 20]),
    'polygon of two corners': _mask([[2, 3, 14, 20]]),
    'one of two polygons is short': _mask([[2, 3, 14, 3, 14, 20], [2, 3, 14, 20]]),
    'odd polygon': _mask([[2, 3, 14, 3, 14, 20, 9]]),
    'polygon of texts': _mask([['2', '3', '14', '3', '14', '20']]),
    'NaN in a polygon': _mask([[2, 3, _NAN, 3, 14, 20]]),
    'infinite polygon': _mask([[2, 3, _INF, 3, 14, 20]]),
    'null in a polygon': _mask([[2, 3, None, 3, 14, 20]]),
    'pairs in a polygon': _mask([[[2, 3], [14, 3], [14, 20]]]),
    'polygon without area': _mask([[2, 3, 14, 3, 2, 3]]),
    'polygon outside': _mask([[200, 300, 210, 300, 210, 310]]),
    'null as counts': _lengths(None),
    'no counts': _mask(dict(size=_SIZE)),
    'number as counts': _lengths(5),
    'texts as counts': _lengths(['a', 'b']),
    'text of no counts': _lengths('!!!'),
    'negative counts': _lengths([-10, HEIGHT * WIDTH + 10]),
    'fractions as counts': _lengths([100.5, HEIGHT * WIDTH - 100.5]),
    'floats as counts': _lengths([100.0, HEIGHT * WIDTH - 100.0]),
    'too few counts': _lengths([5, 9]),
    'too many counts': _lengths([5, HEIGHT * WIDTH]),
    'run lengths of another size': _lengths([100, 116], [12, 18]),
    'run lengths of a turned size': _lengths([100, HEIGHT * WIDTH - 100], [WIDTH, HEIGHT]),
    'texts as size': _lengths([100, HEIGHT * WIDTH - 100], [str(HEIGHT), str(WIDTH)]),
    'run lengths of no pixel': _lengths([HEIGHT * WIDTH]),
}
SEGMENTS = {
    'segment that is not shown': _annotation(id=77),
    'unread isthing': _content(lambda c: c['categories'][0].pop('isthing')),
    'no segments': _content(lambda c: c['annotations'][0].update(segments_info=[])),
    'segmentation of another name': _content(
        lambda c: c['annotations'][0].update(file_name='other.png')
    ),
}


def _xml(pattern: str, new: str):
    def damage(copy: Copy) -> None:
        copy.edit_text(copy.kind.xmls, lambda text: re.sub(pattern, new, text, count=1))

    return damage


XMLS = {
    'missing annotation': lambda copy: copy.one(copy.kind.xmls).unlink(),
    'cut annotation': lambda copy: _truncate(copy, copy.kind.xmls),
    'annotation with a byte order mark': lambda copy: copy.edit_text(
        copy.kind.xmls, lambda text: f'\ufeff{text}'
    ),
    'box that is turned and difficult': lambda copy: copy.edit_text(
        copy.kind.xmls,
        lambda text: text.replace('<difficult>0', '<difficult>1').replace('<xmax>14', '<xmax>0'),
    ),
    'side of no number': _xml('<xmin>.*?</xmin>', '<xmin>nan</xmin>'),
    'infinite side': _xml('<xmax>.*?</xmax>', '<xmax>inf</xmax>'),
    'empty side': _xml('<xmin>.*?</xmin>', '<xmin/>'),
    'fraction': _xml('<xmin>.*?</xmin>', '<xmin>2.75</xmin>'),
    'no side': _xml('<xmin>.*?</xmin>', ''),
    'box without area': _xml('<xmax>.*?</xmax>', '<xmax>2</xmax>'),
    'box that is turned': _xml('<xmax>.*?</xmax>', '<xmax>1</xmax>'),
    'box outside': _xml('<xmin>.*?</xmin>(.*?)<xmax>.*?<', r'<xmin>90</xmin>\1<xmax>99<'),
    'box partly outside': _xml('<xmax>.*?</xmax>', '<xmax>99</xmax>'),
    'object of another class': _xml('<name>.*?</name>', '<name>tree</name>'),
    'object of another class without a box': _xml(
        '<name>.*?</name>(.*?)<bndbox>.*?</bndbox>', r'<name>tree</name>\1'
    ),
    'no name': _xml('<name>.*?</name>', ''),
    'empty name': _xml('<name>.*?</name>', '<name/>'),
    'no difficult': _xml('<difficult>.*?</difficult>', ''),
    'empty difficult': _xml('<difficult>.*?</difficult>', '<difficult/>'),
    'difficult as a text': _xml('<difficult>.*?</difficult>', '<difficult>no</difficult>'),
    'no size': _xml('<size>.*?</size>', ''),
    'size of a fraction': _xml('<width>.*?<', '<width>40.0<'),
    'another size in an annotation': _xml('<width>.*?<', '<width>45<'),
    'no objects': _xml('<object>.*</object>', ''),
}


def damages_of(name: str, kind: Kind) -> dict:
    """Give what may be wrong with data of a kind."""
    table = dict(IMAGES)
    if kind.labels and name != 'coco panoptic':
        table |= LABELS
    if kind.labels and name == 'coco panoptic':
        table |= {k: LABELS[k] for k in ('truncated labels', 'missing labels')}
        table |= {k: LABELS[k] for k in ('labels of another size', 'labels in colour')}
        table |= {k: v for k, v in ANNOTATIONS.items() if k != 'unknown image'} | SEGMENTS
    if kind.lists:
        table |= LISTS
    if name == 'imagenet':
        table |= CLASS_LISTS
        # Its folders are read where there is no list, and have to be a thousand.
    if name in ('ade20k', 'folders', 'cityscapes', 'classes'):
        table |= FOLDERS
    if name == 'classes':
        table |= CLASS_FOLDERS
    if name in ('coco boxes', 'coco masks'):
        table |= ANNOTATIONS | INSTANCES
    if name == 'coco masks':
        table |= MASKS
    if kind.xmls:
        table |= XMLS
    return table
