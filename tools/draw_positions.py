"""Draw where attention can be inserted: docs/positions.png."""

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch

PICTURE = Path(__file__).resolve().parents[1] / 'docs' / 'positions.png'
WIDTH, HEIGHT = 12.6, 13.1  # Inches, as all lengths below; y points down.

INK, LINE, HOST, PANEL = '#1f2933', '#7b8794', '#e4e7eb', '#f8f9fa'
SITE = '#d64545'


def main() -> None:
    """Draw the picture and say where it is."""
    draw().savefig(PICTURE, dpi=110)
    print(f'picture: {PICTURE}')


def draw() -> Figure:
    """Draw the positions in a whole model, in three blocks, in a neck and in two heads."""
    sheet = Sheet()
    whole_model(sheet)
    bottleneck(sheet)
    basic_block(sheet)
    swin_block(sheet)
    fpn(sheet)
    uper_head(sheet)
    aspp_head(sheet)
    return sheet.figure


class Sheet:
    """Boxes, arrows and positions on one page."""

    def __init__(self) -> None:
        self.figure = Figure(figsize=(WIDTH, HEIGHT))
        self.ax = self.figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(HEIGHT, 0))
        self.ax.set_axis_off()

    def panel(self, x: float, y: float, width: float, height: float, title: str, where: str):
        """Draw a panel with its title and what the names in it begin with."""
        self._rectangle(x, y, width, height, 0.08, facecolor=PANEL, edgecolor=HOST)
        self.text(x + 0.18, y + 0.28, title, size=12, weight='bold')
        self.text(x + width - 0.18, y + 0.28, where, family='monospace', size=8.5, ha='right')

    def box(self, x: float, y: float, width: float, text: str, height: float = 0.3) -> None:
        """Draw a module of the host, centred on ``x``, from ``y`` down."""
        self._rectangle(
            x - width / 2, y, width, height, 0.03, facecolor=HOST, edgecolor=LINE, linewidth=0.8
        )
        self.text(x, y + height / 2, text, family='monospace', size=8.5, ha='center')

    def arrow(self, *points: tuple[float, float]) -> None:
        """Draw a line through points, with a head at the last one."""
        self.line(*points[:-1], points[-1])
        self.ax.annotate(
            '',
            points[-1],
            points[-2],
            arrowprops=dict(arrowstyle='-|>', color=LINE, shrinkA=0, shrinkB=0, linewidth=1.1),
        )

    def line(self, *points: tuple[float, float]) -> None:
        """Draw a line through points."""
        self.ax.plot(*zip(*points, strict=True), color=LINE, linewidth=1.1, zorder=1)

    def plus(self, x: float, y: float) -> None:
        """Draw an addition."""
        self.ax.add_patch(Circle((x, y), 0.11, facecolor='white', edgecolor=LINE, zorder=3))
        self.text(x, y - 0.005, '+', size=11, ha='center')

    def site(self, x: float, y: float, text: str = '', note: str = '', at: float = 0.0) -> None:
        """Mark a position.

        Args:
            x: Where it is.
            y: Where it is.
            text: What it is called in a config.
            note: Whose position it is, below.
            at: Where the text begins; 0 is beside the mark.
        """
        self.ax.add_patch(Circle((x, y), 0.075, facecolor=SITE, edgecolor='white', zorder=4))
        if at:
            self.ax.plot(
                (x + 0.1, at - 0.06), (y, y), color=SITE, linewidth=0.8, linestyle=':', zorder=2
            )
        at = at or x + 0.15
        self.text(at, y, text, family='monospace', size=8.8, color=SITE, weight='bold')
        self.text(at, y + 0.17, note, size=7.8)

    def text(self, x: float, y: float, text: str, **options) -> None:
        """Write a line, vertically centred."""
        self.ax.text(x, y, text, **dict(dict(color=INK, va='center', zorder=5), **options))

    def _rectangle(self, x, y, width, height, rounding, **options) -> None:
        style = f'round,pad=0,rounding_size={rounding}'
        self.ax.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=style, **options))


def whole_model(sheet: Sheet) -> None:
    """Stage outputs, neck levels, head inputs."""
    sheet.panel(0.15, 0.15, 12.3, 3.3, 'A whole model', 'Mask R-CNN + ResNet + FPN')
    stages, y = [1.6, 3.1, 4.6, 6.1], 0.75
    sheet.text(0.4, y + 0.15, 'image')
    sheet.arrow((0.9, y + 0.15), (stages[0] - 0.5, y + 0.15))
    for i, x in enumerate(stages, 1):
        sheet.box(x, y, 1.0, f'layer{i}')
        sheet.arrow((x + 0.35, y + 0.3), (x + 0.35, y + 0.95))
        sheet.text(x + 0.27, y + 0.68, f'C{i + 1}', size=8, ha='right')
        sheet.site(x + 0.35, y + 0.55)
        if i < 4:
            sheet.arrow((x + 0.5, y + 0.15), (x + 1.0, y + 0.15))
    sheet.site(stages[2] + 0.7, y + 0.15)
    at = 7.6
    sheet.text(at, y + 0.02, "after=r'backbone\\.layer3'", **pattern())
    sheet.text(at, y + 0.2, 'a stage: layer4 and C4 see it, as in BAM', size=8)
    sheet.text(at, y + 0.5, "after='backbone'", **pattern())
    sheet.text(at, y + 0.68, 'the outputs only, one module for each', size=8)
    y = 1.7
    sheet.box(4.2, y, 6.3, 'neck')
    for i, x in enumerate(stages, 2):
        sheet.arrow((x + 0.35, y + 0.3), (x + 0.35, y + 0.95))
        sheet.text(x + 0.27, y + 0.68, f'P{i}', size=8, ha='right')
        sheet.site(x + 0.35, y + 0.55)
    sheet.text(at, y + 0.5, "after='neck'", **pattern())
    sheet.text(at, y + 0.68, 'the levels, one module for each; levels=[0, 1] for some', size=8)
    y = 2.65
    sheet.box(2.3, y, 2.5, 'rpn_head')
    sheet.box(5.45, y, 3.8, 'roi_head.bbox_head   .mask_head')
    sheet.site(3.55 + 0.35, y + 0.15)
    sheet.text(at, y + 0.05, "before=r'roi_head\\.bbox_head'", **pattern())
    sheet.text(at, y + 0.23, 'what a head is given', size=8)


def pattern() -> dict:
    """Give the style of a pattern."""
    return dict(family='monospace', size=8.8, color=SITE, weight='bold')


def block(sheet: Sheet, x: float, y: float, steps: list[tuple]) -> float:
    """Draw steps one below the other, with a skip connection around them.

    Args:
        sheet: Page.
        x: Middle of the boxes.
        y: Where the input comes in.
        steps: Names of modules; ``(text, note)`` is a position and None a place for an arrow.

    Returns:
        Where the output leaves.
    """
    top = y
    for step in steps:
        if isinstance(step, str):
            sheet.box(x, y, 1.15, step, 0.28)
            y += 0.28
        else:
            sheet.arrow((x, y), (x, y + 0.36))
            if step:
                sheet.site(x, y + 0.16, *step, at=x + 0.72)
            y += 0.36
    sheet.plus(x, y + 0.11)
    sheet.arrow((x, top + 0.1), (x - 0.85, top + 0.1), (x - 0.85, y + 0.11), (x - 0.11, y + 0.11))
    return y + 0.22


def bottleneck(sheet: Sheet) -> None:
    """The places of mmdet's and mmseg's plugins, and more."""
    sheet.panel(0.15, 3.6, 4.2, 5.2, 'ResNet Bottleneck', r'backbone.layerN.M.')
    steps = [None, 'conv1', 'bn1', 'relu', ('before conv2', 'after_conv1'), 'conv2']
    steps += [('after conv2', 'SimAM'), 'bn2', 'relu', ('before conv3', 'after_conv2'), 'conv3']
    steps += ['bn3', ('after bn3', 'after_conv3')]
    block(sheet, 1.3, 4.1, steps)


def basic_block(sheet: Sheet) -> None:
    """The block of ResNet-18 and -34."""
    sheet.panel(4.5, 3.6, 3.8, 5.2, 'ResNet BasicBlock', r'backbone.layerN.M.')
    steps = [None, 'conv1', 'bn1', 'relu', ('before conv2', ''), 'conv2', 'bn2', ('after bn2', '')]
    block(sheet, 5.7, 4.1, steps)


def swin_block(sheet: Sheet) -> None:
    """A transformer block, whose tokens are maps of known height and width."""
    sheet.panel(8.45, 3.6, 4.0, 5.2, 'Swin block', 'backbone.stages.N.blocks.M.')
    y = block(sheet, 9.7, 4.1, [None, 'norm1', 'attn', ('after attn', '')])
    block(sheet, 9.7, y, [None, 'norm2', 'ffn'])


def fpn(sheet: Sheet) -> None:
    """Laterals, the top-down path, outputs."""
    sheet.panel(0.15, 8.95, 4.2, 4.0, 'FPN', 'neck.')


def uper_head(sheet: Sheet) -> None:
    """Pyramid pooling and an FPN of its own."""
    sheet.panel(4.5, 8.95, 3.8, 4.0, 'UPerHead', 'decode_head.')


def aspp_head(sheet: Sheet) -> None:
    """Branches of several dilations."""
    sheet.panel(8.45, 8.95, 4.0, 4.0, 'ASPPHead', 'decode_head.')


if __name__ == '__main__':
    main()
