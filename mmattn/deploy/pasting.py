"""Masks of boxes pasted into a picture."""

import numpy as np
import torch
import torch.nn.functional as F


def paste(
    masks: np.ndarray, boxes: np.ndarray, size: tuple[int, int], threshold: float
) -> np.ndarray:
    """Paste masks into a picture, each over its box, as ``FCNMaskHead`` of mmdet does.

    Args:
        masks: Probabilities (N, h, w), float32.
        boxes: Boxes (N, 4) of x and y of two corners, float32, in pixels of the picture.
        size: Height H and width W of the picture.
        threshold: From which on a pixel is of the object.

    Returns:
        Masks (N, H, W) of bool.
    """
    height, width = size
    pasted = np.zeros((len(masks), height, width), bool)
    for each, mask, (x0, y0, x1, y1) in zip(pasted, torch.from_numpy(masks), boxes, strict=True):
        # What is interpolated ends a pixel behind the box.
        left, right = max(int(np.floor(x0)) - 1, 0), min(int(np.ceil(x1)) + 1, width)
        top, bottom = max(int(np.floor(y0)) - 1, 0), min(int(np.ceil(y1)) + 1, height)
        if left >= right or top >= bottom:
            continue
        grid = torch.stack(
            torch.meshgrid(
                _places(left, right, x0, x1), _places(top, bottom, y0, y1), indexing='xy'
            ),
            -1,
        )
        found = F.grid_sample(mask[None, None], grid[None], align_corners=False)[0, 0]
        each[top:bottom, left:right] = (found >= threshold).numpy()
    return pasted


def _places(first: int, end: int, low: float, high: float) -> torch.Tensor:
    """Say where the middles of pixels are between two sides of a box, which are at -1 and 1."""
    middles = torch.arange(first, end, dtype=torch.float32) + 0.5
    # Of a box without area, all are in its middle.
    return ((middles - low) / (high - low) * 2 - 1).nan_to_num(0, 0, 0)
