"""Draw where attention can be inserted: docs/positions.png."""

import argparse
import io
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch
from matplotlib.pyplot import imread

PICTURE = Path(__file__).resolve().parents[2] / 'docs' / 'positions.png'
WIDTH, HEIGHT = 12.6, 14.88  # Inches, as all lengths below; y points down.
MIDDLE, RIGHT, GAP = 4.5, 8.55, 0.15
BLOCKS, LOWER, PARTS = 3.3, 7.33, 10.45  # Tops of panels below the first one.

INK, LINE, HOST, PANEL = '#1f2933', '#7b8794', '#e4e7eb', '#f8f9fa'
SITE = '#d64545'


def main() -> None:
    """Draw the picture and say where it is, or with ``--check`` say that it is out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--check', action='store_true', help='compare, write nothing')
    args = parser.parse_args()
    new = io.BytesIO()
    draw().savefig(new, dpi=110)
    if not args.check:
        PICTURE.write_bytes(new.getvalue())
        print(f'picture: {PICTURE}')
    elif not PICTURE.is_file() or not same_pixels(PICTURE, new):
        sys.exit('error: docs/positions.png out of date; run python docs/generate/positions.py')


def same_pixels(one: Path, other: io.BytesIO) -> bool:
    """Compare two pictures; how they are compressed does not count."""
    other.seek(0)
    return np.array_equal(imread(one), imread(other))


def draw() -> Figure:
    """Draw a whole model, blocks of backbones, a neck and heads, with their positions."""
    sheet = Sheet()
    for panel in PANELS:
        panel(sheet)
    return sheet.figure


class Sheet:
    """Boxes, arrows and positions on one page."""

    def __init__(self) -> None:
        self.figure = Figure(figsize=(WIDTH, HEIGHT))
        self.ax = self.figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(HEIGHT, 0))
        self.ax.set_axis_off()

    def panel(
        self, x: float, y: float, right: float, bottom: float, title: str, where: str
    ) -> None:
        """Draw a panel with its title and what the names in it begin with."""
        self._rectangle(x, y, right - x, bottom - y, 0.08, facecolor=PANEL, edgecolor=HOST)
        self.text(x + 0.18, y + 0.28, title, size=12, weight='bold')
        self.text(right - 0.18, y + 0.29, where, family='monospace', size=8, ha='right')

    def box(self, x: float, y: float, width: float, text: str, height: float = 0.28) -> None:
        """Draw a module of the host from ``y`` down, centred on ``x``."""
        self._rectangle(
            x - width / 2, y, width, height, 0.03, facecolor=HOST, edgecolor=LINE, linewidth=0.8
        )
        self.text(x, y + height / 2, text, family='monospace', size=8, ha='center')

    def row(self, left: float, y: float, right: float, text: str) -> None:
        """Draw a module of the host between ``left`` and ``right``, centred on ``y``."""
        self.box((left + right) / 2, y - 0.13, right - left, text, 0.26)

    def arrow(self, *points: tuple[float, float]) -> None:
        """Draw a line through points, with a head at the last one."""
        self.line(*points)
        style = dict(arrowstyle='-|>', color=LINE, shrinkA=0, shrinkB=0, linewidth=1.1)
        self.ax.annotate('', points[-1], points[-2], arrowprops=style)

    def line(self, *points: tuple[float, float], **options) -> None:
        """Draw a line through points."""
        self.ax.plot(*zip(*points, strict=True), **{'color': LINE, 'linewidth': 1.1, **options})

    def plus(self, x: float, y: float) -> None:
        """Draw an addition."""
        self.ax.add_patch(Circle((x, y), 0.11, facecolor='white', edgecolor=LINE, zorder=3))
        self.text(x, y - 0.005, '+', size=11, ha='center')

    def site(self, x: float, y: float, letter: str = '') -> None:
        """Mark a position, with a letter that is explained elsewhere."""
        radius = 0.09 if letter else 0.075
        self.ax.add_patch(Circle((x, y), radius, facecolor=SITE, edgecolor='white', zorder=4))
        self.text(x, y, letter, size=7.5, color='white', weight='bold', ha='center')

    def name(self, x: float, y: float, pattern: str, *notes: str) -> None:
        """Write what a position is called in a config, and below it what is to say."""
        self.text(x, y, pattern, family='monospace', size=8.8, color=SITE, weight='bold')
        for i, note in enumerate(notes, 1):
            self.text(x, y + 0.17 * i, note, size=7.8)

    def names(self, x: float, y: float, *entries: tuple[str, str]) -> None:
        """Explain letters, from ``y`` down."""
        for i, (pattern, note) in enumerate(entries):
            self.site(x, y + 0.42 * i, 'abc'[i])
            self.name(x + 0.18, y + 0.42 * i, pattern, note)

    def text(self, x: float, y: float, text: str, **options) -> None:
        """Write a line, vertically centred."""
        self.ax.text(x, y, text, **{'color': INK, 'va': 'center', 'zorder': 5, **options})

    def _rectangle(self, x, y, width, height, rounding, **options) -> None:
        style = f'round,pad=0,rounding_size={rounding}'
        patch = FancyBboxPatch((x, y), width, height, boxstyle=style, zorder=2, **options)
        self.ax.add_patch(patch)


def whole_model(sheet: Sheet) -> None:
    """Stages and their outputs, levels of the neck, inputs of heads."""
    sheet.panel(GAP, GAP, WIDTH - GAP, BLOCKS - GAP, 'A whole model', 'Mask R-CNN')
    stages, y, at = [1.6, 3.1, 4.6, 6.1], 0.75, 7.6
    sheet.text(0.4, y + 0.14, 'image', size=9)
    sheet.arrow((0.83, y + 0.14), (stages[0] - 0.5, y + 0.14))
    for i, x in enumerate(stages, 1):
        sheet.box(x, y, 1.0, f'layer{i}')
        down(sheet, x + 0.35, y + 0.28, f'C{i + 1}')
        if i < 4:
            sheet.arrow((x + 0.5, y + 0.14), (x + 1.0, y + 0.14))
    sheet.site(stages[2] + 0.72, y + 0.14)
    sheet.name(
        at, y + 0.06, r'after backbone.layer3', 'the stage: C4 and layer4 see it, as BAM stands'
    )
    sheet.name(at, y + 0.55, 'after backbone', 'the outputs alone, one module for each')
    y += 0.94
    sheet.box(4.2, y, 6.3, 'neck')
    for i, x in enumerate(stages, 2):
        down(sheet, x + 0.35, y + 0.28, f'P{i}')
    sheet.name(at, y + 0.52, 'after neck', 'the levels, one module for each; levels=[0, 1] for two')
    y += 0.94
    sheet.box(2.3, y, 2.5, 'rpn_head')
    sheet.arrow((3.55, y + 0.14), (4.3, y + 0.14))
    sheet.site(3.9, y + 0.14)
    sheet.box(5.83, y, 3.06, 'roi_head.bbox_head')
    sheet.name(at, y + 0.06, 'before roi_head.bbox_head', 'what a head is given')


def down(sheet: Sheet, x: float, y: float, level: str) -> None:
    """Draw an output on its way to the next part."""
    sheet.arrow((x, y), (x, y + 0.66))
    sheet.site(x, y + 0.26)
    sheet.text(x - 0.12, y + 0.26, level, size=8, ha='right')


def bottleneck(sheet: Sheet) -> None:
    """The places of mmdet's and mmseg's plugins, and more."""
    x = 1.25
    sheet.panel(GAP, BLOCKS, MIDDLE - GAP, PARTS - GAP, 'ResNet Bottleneck', 'backbone.layerN.M.')
    steps = [
        ('conv1', 'bn1', 'relu'),
        ('before conv2', 'after_conv1 of plugins'),
        ('conv2',),
        ('after conv2', 'the release of SimAM'),
        ('bn2', 'relu'),
        ('before conv3', 'after_conv2 of plugins;', 'strip pooling, here also CoordAtt'),
        ('conv3', 'bn3'),
        ('after bn3', 'after_conv3 of plugins;', 'SE, CBAM, ECA, GC, Triplet'),
    ]
    y = block(sheet, x, BLOCKS + 0.55, steps, 'relu')
    sheet.arrow((x, y), (x, y + 0.4))
    sheet.site(x, y + 0.18)
    sheet.name(x + 0.72, y + 0.18, 'after backbone.layerN.M', 'the whole block')
    sheet.plus(0.5, y + 1.0)
    sheet.text(0.72, y + 1.0, "AFF and iAFF replace the sum: type='AFFResNet'", size=7.8)


def basic_block(sheet: Sheet) -> None:
    """The block of ResNet-18 and -34."""
    sheet.panel(MIDDLE, BLOCKS, RIGHT - GAP, LOWER - GAP, 'ResNet BasicBlock', 'backbone.layerN.M.')
    steps = [
        ('conv1', 'bn1', 'relu'),
        ('before conv2', 'plugins are refused here'),
        ('conv2', 'bn2'),
        ('after bn2', 'as after_conv3'),
    ]
    block(sheet, MIDDLE + 1.1, BLOCKS + 0.55, steps, 'relu')


def mobilenet(sheet: Sheet) -> None:
    """An inverted residual, where coordinate attention was made for."""
    where = 'mmseg, backbone.layerN.M.'
    sheet.panel(MIDDLE, LOWER, RIGHT - GAP, PARTS - GAP, 'MobileNetV2', where)
    steps = [('conv.0', 'conv.1'), ('after conv.1', "CoordAtt's own place"), ('conv.2',)]
    block(sheet, MIDDLE + 1.1, LOWER + 0.55, steps)


def swin_block(sheet: Sheet) -> None:
    """A block on tokens."""
    where = 'backbone.stages.N.blocks.M.'
    sheet.panel(RIGHT, BLOCKS, WIDTH - GAP, LOWER - GAP, 'Swin block', where)
    steps = [
        ('norm1', 'attn'),
        ('after attn', 'tokens, whose height and', 'width the host tells'),
    ]
    y = block(sheet, RIGHT + 1.1, BLOCKS + 0.55, steps)
    block(sheet, RIGHT + 1.1, y, [('norm2', 'ffn')])


def efficientnet(sheet: Sheet) -> None:
    """A block whose own attention is exchanged."""
    where = 'mmpretrain, backbone.layers.N.M.'
    sheet.panel(RIGHT, LOWER, WIDTH - GAP, PARTS - GAP, 'EfficientNet', where)
    x, y = RIGHT + 1.1, LOWER + 0.55
    block(sheet, x, y, [('expand_conv', 'depthwise_conv', 'se'), None, ('linear_conv',)])
    sheet.site(x + 0.575, y + 1.06)
    sheet.name(x + 0.75, y + 1.06, 'instead_of se', 'CoordAtt in place of SE')


def block(sheet: Sheet, x: float, y: float, steps: Sequence[Any], last: str = '') -> float:
    """Draw steps one below the other, and the skip connection around them.

    Args:
        sheet: Page.
        x: Middle of the boxes.
        y: Where the input comes in.
        steps: By turns names of modules, and a position with its notes or None.
        last: Module behind the addition.

    Returns:
        Where the output leaves.
    """
    top = y
    for i, step in enumerate([None, *steps]):
        if i % 2:
            for text in step:
                sheet.box(x, y, 1.15, text)
                y += 0.28
            continue
        sheet.arrow((x, y), (x, y + 0.36))
        if step:
            sheet.site(x, y + 0.16)
            sheet.line((x, y + 0.16), (x + 0.66, y + 0.16), color=SITE, linewidth=0.8, ls=':')
            sheet.name(x + 0.72, y + 0.16, *step)
        y += 0.36
    if len(steps) % 2:
        sheet.arrow((x, y), (x, y + 0.2))
        y += 0.2
    y += 0.11
    sheet.plus(x, y)
    sheet.arrow((x, top + 0.1), (x - 0.85, top + 0.1), (x - 0.85, y), (x - 0.11, y))
    y += 0.11
    if last:
        sheet.arrow((x, y), (x, y + 0.2))
        sheet.box(x, y + 0.2, 1.15, last)
        y += 0.48
    return y


def fpn(sheet: Sheet) -> None:
    """Laterals, the top-down path, outputs."""
    sheet.panel(GAP, PARTS, MIDDLE - GAP, HEIGHT - GAP, 'FPN', 'neck.')
    rows = [PARTS + 0.75 + 0.46 * i for i in range(4)]
    for level, y in zip((5, 4, 3, 2), rows, strict=True):
        sheet.text(0.3, y, f'C{level}', size=8.5)
        sheet.arrow((0.5, y), (0.85, y))
        sheet.site(0.66, y, 'a')
        sheet.row(0.85, y, 2.05, f'lateral_convs.{level - 2}')
        sheet.arrow((2.05, y), (2.58, y))
        sheet.site(2.27, y, 'b')
        sheet.row(2.8, y, 3.7, f'fpn_convs.{level - 2}')
        sheet.arrow((2.58, y), (2.8, y))
        sheet.arrow((3.7, y), (4.05, y))
        sheet.site(3.86, y, 'c')
        sheet.text(4.08, y, f'P{level}', size=8.5)
    top_down(sheet, 2.58, rows)
    sheet.names(
        0.4,
        rows[-1] + 0.6,
        ('before neck', 'the maps of the backbone, one module for each'),
        ('after neck.lateral_convs.N', 'ahead of the additions'),
        ('after neck', 'all levels; after neck.fpn_convs.N leaves P6 out'),
    )


def top_down(sheet: Sheet, x: float, rows: list[float]) -> None:
    """Draw the path from the coarsest level to the finest, with its additions."""
    for above, y in pairwise(rows):
        sheet.arrow((x, above), (x, y - 0.11))
        sheet.plus(x, y)


def uper_head(sheet: Sheet) -> None:
    """Pyramid pooling and an FPN of its own."""
    left = MIDDLE
    sheet.panel(left, PARTS, RIGHT - GAP, HEIGHT - GAP, 'UPerHead', 'decode_head.')
    rows = [PARTS + 0.75 + 0.46 * i for i in range(4)]
    plus, end = left + 2.62, left + 3.72
    for level, y in zip((5, 4, 3, 2), rows, strict=True):
        sheet.text(left + 0.12, y, f'C{level}', size=8.5)
        sheet.arrow((left + 0.32, y), (left + 0.6, y))
        sheet.site(left + 0.44, y, 'a')
        sheet.line((plus, y), (end, y))
        if level == 5:
            sheet.row(left + 0.6, y, left + 1.42, 'psp_modules')
            sheet.arrow((left + 1.42, y), (left + 1.54, y))
            sheet.row(left + 1.54, y, left + 2.33, 'bottleneck')
            sheet.line((left + 2.33, y), (plus, y))
            sheet.site(left + 2.48, y, 'b')
        else:
            sheet.row(left + 0.6, y, left + 1.75, f'lateral_convs.{level - 2}')
            sheet.arrow((left + 1.75, y), (plus - 0.11, y))
            sheet.row(left + 2.82, y, left + 3.62, f'fpn_convs.{level - 2}')
    top_down(sheet, plus, rows)
    last = rows[-1] + 0.5
    concatenate(sheet, end, rows[0], last, left + 2.55, 'fpn_bottleneck')
    sheet.names(
        left + 0.25,
        last + 0.5,
        ('before decode_head', 'the maps that the head is given'),
        ('after decode_head.bottleneck', 'the pooled pyramid'),
        ('after decode_head.fpn_bottleneck', 'all levels, ahead of the classifier'),
    )


def concatenate(sheet: Sheet, x: float, top: float, y: float, left: float, text: str) -> None:
    """Draw what joins the branches, and the classifier behind it."""
    sheet.arrow((x, top), (x, y), (left + 0.92, y))
    sheet.row(left - 0.22, y, left + 0.92, text)
    sheet.arrow((left - 0.22, y), (left - 0.85, y))
    sheet.site(left - 0.5, y, 'c')
    sheet.row(left - 1.6, y, left - 0.85, 'conv_seg')


def aspp_head(sheet: Sheet) -> None:
    """Branches of several dilations."""
    left = RIGHT
    sheet.panel(left, PARTS, WIDTH - GAP, HEIGHT - GAP, 'ASPPHead', 'decode_head.')
    rows = [PARTS + 0.75 + 0.345 * i for i in range(5)]
    start, end = left + 0.85, left + 3.5
    sheet.text(left + 0.15, rows[2], 'C5', size=8.5)
    sheet.line((left + 0.37, rows[2]), (start, rows[2]))
    sheet.line((start, rows[0]), (start, rows[-1]))
    sheet.site(left + 0.6, rows[2], 'a')
    for i, y in enumerate(rows):
        sheet.arrow((start, y), (start + 0.3, y))
        sheet.row(start + 0.3, y, start + 1.6, f'aspp_modules.{i - 1}' if i else 'image_pool')
        sheet.line((start + 1.6, y), (end, y))
        if i:
            sheet.site(start + 2.1, y, 'b')
    last = PARTS + 0.75 + 0.46 * 3 + 0.5
    concatenate(sheet, end, rows[0], last, left + 2.4, 'bottleneck')
    sheet.names(
        left + 0.25,
        last + 0.5,
        ('before decode_head', 'levels=[3] is the map that it uses'),
        ('after decode_head.aspp_modules', 'one module for each dilation'),
        ('after decode_head.bottleneck', 'the context, ahead of the classifier'),
    )


PANELS = (
    whole_model,
    bottleneck,
    basic_block,
    mobilenet,
    swin_block,
    efficientnet,
    fpn,
    uper_head,
    aspp_head,
)

if __name__ == '__main__':
    main()
