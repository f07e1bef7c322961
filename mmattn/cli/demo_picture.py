"""The picture that the demo draws of its run."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image

from mmattn.datasets.synthetic.tiny_ade20k import LABELS, UNLABELLED


def draw(
    data: Path, predictions: Path, losses: list[tuple], mious: list[tuple], rows: int = 4
) -> Figure:
    """Draw image, truth and prediction of some held-out images beside the curves of the run.

    Args:
        data: Root of the generated data.
        predictions: Folder of predicted label maps.
        losses: Pairs of iteration and training loss.
        mious: Pairs of iteration and held-out mIoU in percent.
        rows: Number of held-out images.

    Returns:
        The figure.
    """
    figure = Figure(figsize=(12, 7.2), layout='constrained')
    left, right = figure.subfigures(1, 2, width_ratios=(1.55, 1))
    axes = left.subplots(rows, 3)
    # Evenly spread over the held-out images, whatever they look like.
    paths = sorted((data / 'images' / 'validation').glob('*.jpg'))
    for row, path in zip(axes, paths[:: len(paths) // rows], strict=False):
        truth = np.array(Image.open(data / 'annotations' / 'validation' / f'{path.stem}.png'))
        prediction = np.array(Image.open(predictions / f'{path.stem}.png'))
        # Predictions count the classes of the scenes from 1, files the classes of ADE20K.
        prediction = np.array([UNLABELLED, *LABELS.values()])[prediction]
        for ax, picture in zip(
            row, (Image.open(path), paint(truth), paint(prediction)), strict=True
        ):
            ax.imshow(picture, aspect='auto')
            ax.set_axis_off()
    for ax, title in zip(axes[0], ('held-out image', 'truth', 'prediction'), strict=True):
        ax.set_title(title)

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
