"""Class activation maps, drawn over their image."""

from collections.abc import Sequence
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from mmattn.inspection.cam import METHODS, ActivationMap
from mmattn.inspection.cam_target import Answer

# Of the colours of Okabe and Ito, those that stand out from photos.
TARGET_COLOR, WINDOW_COLOR = '#D55E00', '#56B4E9'
PANEL = 4.0  # Inches of the longer side of a panel.


def draw_activation_maps(maps: Sequence[ActivationMap], names: Sequence[str]) -> Figure:
    """Draw an image with what was asked, and beside it one map for each model.

    Args:
        maps: Maps of one image.
        names: What the models are called.

    Returns:
        The figure; all its maps have one scale of colours.
    """
    image = maps[0].image
    height, width = image.shape[:2]
    inches = PANEL / max(height, width)
    # A panel is wide enough for its title, and high enough for its image.
    panel_width, panel_height = max(width * inches, 2.6), max(height * inches, 1.6)
    figure = Figure(
        figsize=((1 + len(maps)) * panel_width + 0.9, panel_height + 1.2), layout='constrained'
    )
    axes = figure.subplots(1, 1 + len(maps))
    characters = int(panel_width * 11)
    axes[0].imshow(image)
    _set_title(axes[0], 'image', '', characters)
    _outline_window(axes[0], maps[0].window)
    _outline_target(axes[0], maps[0].answer)
    if axes[0].get_legend_handles_labels()[0]:
        place = dict(loc='upper center', bbox_to_anchor=(0.5, -0.02))
        axes[0].legend(**place, fontsize='small', frameon=False)
    gray = image @ np.array([0.299, 0.587, 0.114])
    for ax, each, name in zip(axes[1:], maps, names, strict=True):
        ax.imshow(gray, cmap='gray', vmin=0, vmax=255)
        x1, y1, x2, y2 = each.window
        extent = (x1 - 0.5, x2 - 0.5, y2 - 0.5, y1 - 0.5)
        cut = each.map[y1:y2, x1:x2]
        ax.imshow(cut, extent=extent, cmap='viridis', vmin=0, vmax=1, alpha=0.6)
        answer = each.answer
        text = f'{answer.label}, score {answer.score:.3f}'
        if len(answer.boxes) > 1:
            text = f'{len(answer.boxes)} x {answer.label}, best score {answer.score:.3f}'
        if not each.map.any():
            text += '\nno place stands out'
        _set_title(ax, name, text, characters)
        _outline_window(ax, each.window)
        _outline_boxes(ax, answer.boxes)
    for ax in axes:
        ax.set(xticks=[], yticks=[], xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    scale = ScalarMappable(Normalize(0, 1), 'viridis')
    figure.colorbar(scale, ax=list(axes), label='map, from 0 to 1 in each panel')
    layers = ', '.join(dict.fromkeys(name for each in maps for name in each.layers))
    title = f'{METHODS[maps[0].method]} of {layers}'
    if maps[0].method == 'eigen-cam':
        title += ', whatever is asked for'
    figure.suptitle(
        fill(title, int(figure.get_figwidth() * 9)), fontsize='medium', parse_math=False
    )
    return figure


def _set_title(ax: Any, name: str, text: str, characters: int) -> None:
    lines = [fill(line, characters) for line in (name, *text.split('\n')) if line]
    # A dollar sign in a name begins no formula.
    ax.set_title('\n'.join(lines), fontsize='small', parse_math=False)


def _outline_window(ax: Any, window: tuple[int, int, int, int]) -> None:
    """Draw what of the image the model sees if that is not all."""
    height, width = ax.images[0].get_array().shape[:2]
    if window != (0, 0, width, height):
        box = np.array([window])
        _outline_boxes(ax, box, color=WINDOW_COLOR, linestyle='--', label='seen by the model')


def _outline_target(ax: Any, answer: Answer) -> None:
    """Draw the detections or the pixels that were asked about."""
    _outline_boxes(ax, answer.boxes, label='detection asked about')
    if answer.mask is not None:
        # With a rim, so that pixels at the border of the image are closed in, too.
        rim = np.pad(answer.mask.astype(float), 1)
        x, y = (np.arange(-1, length - 1) for length in rim.shape[::-1])
        ax.contour(x, y, rim, levels=[0.5], colors=[TARGET_COLOR], linewidths=2)
        ax.plot([], [], color=TARGET_COLOR, linewidth=2, label='pixels asked about')


def _outline_boxes(
    ax: Any,
    boxes: np.ndarray,
    *,
    color: str = TARGET_COLOR,
    linestyle: str = '-',
    label: str | None = None,
) -> None:
    for i, (x1, y1, x2, y2) in enumerate(boxes):
        # The middle of the first pixel is 0.
        ax.plot(
            np.array([x1, x2, x2, x1, x1]) - 0.5,
            np.array([y1, y1, y2, y2, y1]) - 0.5,
            color=color,
            linestyle=linestyle,
            linewidth=2,
            label=None if i else label,
        )
