"""The picture that the demo draws of its run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image

from mmattn.datasets.synthetic.tiny_ade20k import LABELS, UNLABELLED
from mmattn.inspection.cam import class_activation_map
from mmattn.inspection.gates import look
from mmattn.inspection.sites import attention_sites
from mmattn.prediction.model import Model

# The first attention of the backbone, whose map is the largest; and the last layer that sees all
# levels, which says which pixels are of a class.
GATE = r'backbone\.block1\.0\..*'
LAYER = r'decode_head\.fpn_bottleneck'


def held_out(data: Path, count: int = 4) -> list[Path]:
    """Choose some held-out images, evenly spread, whatever they look like."""
    paths = sorted((data / 'images' / 'validation').glob('*.jpg'))
    return paths[:: len(paths) // count][:count]


def draw(
    model: Model,
    images: Sequence[Path],
    data: Path,
    predictions: Path,
    losses: list[tuple],
    mious: list[tuple],
) -> Figure:
    """Draw images beside what the model makes of them, and the curves of its run.

    Args:
        model: The trained model.
        images: Held-out images of the generated data.
        data: Root of the data.
        predictions: Folder of predicted label maps.
        losses: Pairs of iteration and training loss.
        mious: Pairs of iteration and held-out mIoU in percent.

    Returns:
        The figure.
    """
    figure = Figure(figsize=(16, 7.2), layout='constrained')
    left, right = figure.subfigures(1, 2, width_ratios=(2.4, 1))
    axes = left.subplots(len(images), 5)
    for row, path in zip(axes, images, strict=True):
        truth = np.array(Image.open(data / 'annotations' / 'validation' / f'{path.stem}.png'))
        prediction = np.array(Image.open(predictions / f'{path.stem}.png'))
        image = model.read(path)
        [seen] = look(model, image, attention_sites(model.module, GATE))
        label = smallest(prediction)
        found = class_activation_map(model, image, target=label, layer=LAYER)
        # Predictions count the classes of the scenes from 1, files the classes of ADE20K.
        classes = np.array([UNLABELLED, *LABELS.values()])[prediction]
        gate, gray = seen.gates['spatial'].mean(0), image.mean(2)
        reach = abs(gate).max()
        for ax, picture in zip(row, (image, paint(truth), paint(classes), gray, gray), strict=True):
            ax.imshow(picture, aspect='auto', cmap='gray', extent=(0, 1, 0, 1))
            ax.set_axis_off()
        over: dict[str, Any] = dict(aspect='auto', extent=(0, 1, 0, 1), alpha=0.65)
        row[3].imshow(gate, cmap='RdBu_r', vmin=-reach, vmax=reach, **over)
        row[4].imshow(found.map, cmap='viridis', vmin=0, vmax=1, **over)
        row[4].text(0.03, 0.95, found.answer.label, color='white', va='top', weight='bold')
    titles = ('held-out image', 'truth', 'prediction', 'gate of an LKA', 'Grad-CAM of a class')
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_title(title)
    for ax, colors, ends in (
        (axes[-1, 3], 'RdBu_r', ('-', '0', '+')),
        (axes[-1, 4], 'viridis', ('0', '', '1')),
    ):
        scale = ScalarMappable(Normalize(-1, 1), colors)
        bar = left.colorbar(scale, ax=ax, location='bottom', ticks=(-1, 0, 1), aspect=30, pad=0.03)
        bar.ax.set_xticklabels(ends)

    loss_ax, miou_ax, legend_ax = right.subplots(3, 1, height_ratios=(1, 1, 0.7))
    loss_ax.plot(*zip(*losses, strict=True), color='tab:blue')
    loss_ax.set(ylabel='training loss', xlim=(0, losses[-1][0]), ylim=(0, None))
    miou_ax.plot(*zip(*mious, strict=True), color='tab:green', marker='o', clip_on=False)
    miou_ax.set(
        xlabel='iteration', ylabel='held-out mIoU in %', xlim=(0, losses[-1][0]), ylim=(0, 100)
    )
    for ax in (loss_ax, miou_ax):
        ax.grid(alpha=0.3)
        ax.spines[['top', 'right']].set_visible(False)
    handles = [Patch(color=color(label), label=name) for name, label in LABELS.items()]
    handles.append(Patch(color=color(UNLABELLED), label='no label'))
    legend_ax.legend(handles=handles, ncols=3, loc='center', frameon=False)
    legend_ax.set_axis_off()
    return figure


def smallest(prediction: np.ndarray) -> int:
    """Give the class of the fewest pixels among those that have at least 1 % of a prediction.

    Args:
        prediction: Label map (H, W), which counts classes from 1.

    Returns:
        The class, counted from 0.
    """
    labels, counts = np.unique(prediction, return_counts=True)
    large = counts * 100 >= prediction.size
    return int(labels[large][counts[large].argmin()]) - 1


def color(label: int) -> tuple[float, float, float]:
    """Give the two classes of one paint two shades of a hue, and no label a light gray."""
    if label == UNLABELLED:
        return (0.92, 0.92, 0.92)
    names = [
        *('sky', 'sea', 'grass', 'tree', 'building', 'house'),
        *('earth', 'hill', 'mountain', 'road', 'airplane', 'boat'),
    ]
    return matplotlib.colormaps['Paired']([LABELS[name] for name in names].index(label))[:3]


def paint(labels: np.ndarray) -> np.ndarray:
    """Turn a label map (H, W) into a picture (H, W, 3) with values from 0 to 1."""
    picture = np.empty((*labels.shape, 3))
    for label in np.unique(labels):
        picture[labels == label] = color(int(label))
    return picture
