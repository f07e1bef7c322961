"""Class activation maps: where in an image a model finds what speaks for its answer."""

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import cv2
import numpy as np
import torch
from torch import Tensor

from mmattn.errors import InputError
from mmattn.inspection.cam_layers import Maps, find_layers, noting
from mmattn.inspection.cam_target import Answer, Target, ask
from mmattn.layers.packages import import_optional
from mmattn.prediction.model import Model

Method = Literal['grad-cam', 'layer-cam', 'eigen-cam']
METHODS: dict[Method, str] = {
    'grad-cam': 'Grad-CAM',
    'layer-cam': 'LayerCAM',
    'eigen-cam': 'EigenCAM',
}


@dataclass(frozen=True)
class ActivationMap:
    """A class activation map, and what it is of.

    Args:
        image: The image (H, W, 3), uint8, RGB.
        map: The map (H, W), float32, from 0 to 1; 0 everywhere if no place stands out, and where
            the model does not look.
        method: How it was made.
        layers: Names of the layers that it was made of.
        answer: What the model answered.
        window: What of the image the model sees, (x1, y1, x2, y2) in pixels; less than all where
            the test crops.
    """

    image: np.ndarray
    map: np.ndarray
    method: Method
    layers: list[str]
    answer: Answer
    window: tuple[int, int, int, int]


def class_activation_map(
    model: Model,
    image: str | Path | np.ndarray,
    *,
    method: Method = 'grad-cam',
    target: str | int | Target | None = None,
    layer: str | None = None,
) -> ActivationMap:
    """Make the class activation map of an image.

    Args:
        model: The model, as :func:`mmattn.load` gives it.
        image: File, or an array (H, W, 3) of uint8, RGB.
        method: ``'grad-cam'``, ``'layer-cam'`` or ``'eigen-cam'``, which asks for no target but for
            what the layer has most of.
        target: A class by name or number, or a :class:`mmattn.inspection.cam_target.Target`; None
            for what the model is surest of. ``answer.target`` of one map asks another model for
            the same.
        layer: Regular expression for the names of the layers; the maps of several are each scaled
            and averaged. None for the last map of the backbone, and of a detector for all maps of
            its neck that have to do with the target.

    Returns:
        The map, in the size of the image.

    Raises:
        InputError: If there is no such image, method, layer, class, region or detection, if the
            gradient of the target does not reach the layer, or the model computes NaN.
    """
    if method not in METHODS:
        raise InputError(f'expected method {", ".join(METHODS)}, got {method!r}')
    package = import_optional('pytorch_grad_cam', 'a class activation map')
    picture = model.read(image)
    target = target if isinstance(target, Target) else Target(target)
    layers = find_layers(model, layer)
    module: Any = model.module
    data = module.data_preprocessor(model.prepare([picture]), False)
    inputs, samples = data['inputs'], data['data_samples']
    with (
        torch.inference_mode(False),
        torch.set_grad_enabled(method != 'eigen-cam'),
        noting(layers) as maps,
    ):
        answer = ask(model, inputs, samples, target)
    maps.check(layers)
    if layer is None and model.task in ('classification', 'segmentation'):
        maps.keep([-1])
    gradients = [] if method == 'eigen-cam' else _gradients(answer, maps)
    _check_numbers(maps, gradients)
    heat = _combine(package, method, model, inputs, maps, gradients)
    scaled, window = _lay_over(heat, samples[0].metainfo, picture.shape[:2])
    return ActivationMap(picture, scaled, method, list(dict.fromkeys(maps.names)), answer, window)


def _gradients(answer: Answer, maps: Maps) -> list[Tensor]:
    """Give the gradients of the maps that have one, and leave the other maps out.

    Raises:
        InputError: If no map has one.
    """
    without = InputError(
        f'the score of {answer.label!r} has no gradient, as behind soft-NMS; take another '
        'model.test_cfg.nms with --cfg-options, or --method eigen-cam'
    )
    if not answer.evidence.requires_grad:
        raise without
    try:
        gradients = torch.autograd.grad(answer.evidence, maps.values, allow_unused=True)
    except NotImplementedError as error:  # of an operator that has no derivative
        raise without from error
    reached = [i for i, gradient in enumerate(gradients) if gradient is not None]
    if not reached:
        names = ', '.join(dict.fromkeys(maps.names))
        raise InputError(
            f'the gradient of {answer.label!r} does not reach layer {names}: its score does not '
            'depend on it; name another --layer'
        )
    maps.keep(reached)
    return [gradients[i] for i in reached]


def _check_numbers(maps: Maps, gradients: list[Tensor]) -> None:
    hints = {'maps': 'look at the checkpoint', 'gradients': 'use --method eigen-cam'}
    for (what, hint), values in zip(hints.items(), (maps.values, gradients), strict=True):
        for name, value in zip(maps.names, values, strict=False):
            if not value.isfinite().all():
                raise InputError(
                    f'the {what} of layer {name} are not finite (NaN or infinite) for this image; '
                    f'{hint}'
                )


def _combine(
    package: ModuleType,
    method: Method,
    model: Model,
    inputs: Tensor,
    maps: Maps,
    gradients: list[Tensor],
) -> np.ndarray:
    """Make one map, in the size of the prepared image, of the maps and gradients of the layers."""
    kinds = dict(zip(METHODS, ('GradCAM', 'LayerCAM', 'EigenCAM'), strict=True))
    explainer = getattr(package, kinds[method])(model.module, target_layers=[])
    if method == 'eigen-cam':
        explainer.get_cam_image = _project
    # It would note maps of whole layers in the order of the backward pass, which is not always
    # that of the layers, and leave gradients behind in the parameters.
    explainer.target_layers = maps.names
    noted = explainer.activations_and_grads
    noted.activations = [value.detach().float() for value in maps.values]
    # The map does not depend on their scale, but a tiny one would be taken for zero.
    scale = max((float(gradient.abs().max()) for gradient in gradients), default=0.0) or 1.0
    noted.gradients = [gradient.float() / scale for gradient in gradients]
    levels = explainer.compute_cam_per_layer(inputs, [], False)
    return explainer.aggregate_multi_layers(levels)[0]


def _project(
    inputs: Tensor, layer: str, targets: list, maps: np.ndarray, *others: Any
) -> np.ndarray:
    """Make the EigenCAM of the maps (1, C, H, W): their projection on the first principal axis.

    The package takes memory for the square of the number of pixels, and whatever sign comes out. An
    axis has none of its own; as in Seg-Eigen-CAM (Chung and Ying 2025), equation 13, the largest
    value is positive.
    """
    channels, height, width = maps.shape[1:]
    pixels = maps[0].reshape(channels, -1).astype(np.float64)
    _, lengths, axes = np.linalg.svd(pixels - pixels.mean(1, keepdims=True), full_matrices=False)
    projection = lengths[0] * axes[0].reshape(1, height, width)
    return projection if projection.max() >= -projection.min() else -projection


def _lay_over(
    heat: np.ndarray, metainfo: dict[str, Any], size: tuple[int, int]
) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """Lay a map of a prepared image over the image itself.

    The preparation scales the image, then cuts the middle out of it, or pads it at the right and
    at the bottom; what scales and sizes it notes, boxes are scaled back by, too.

    Args:
        heat: The map, as large as the prepared image.
        metainfo: What the preparation notes of itself.
        size: Height and width of the image.

    Returns:
        The map in the size of the image, from 0 to 1, and the window that the model sees.
    """
    # It comes as (width, height).
    factors = tuple(metainfo.get('scale_factor', (1, 1)))[::-1]
    rows, columns = (
        _span(length, factor, seen)
        for length, factor, seen in zip(size, factors, metainfo['img_shape'], strict=False)
    )
    (y1, y2, height), (x1, x2, width) = rows, columns
    cut = cv2.resize(heat[:height, :width], (x2 - x1, y2 - y1), interpolation=cv2.INTER_LINEAR)
    cut = cut - cut.min()
    scaled = np.zeros(size, np.float32)
    scaled[y1:y2, x1:x2] = cut / (cut.max() or 1)
    return scaled, (x1, y1, x2, y2)


def _span(length: int, factor: float, seen: int) -> tuple[int, int, int]:
    """Give where the model begins and ends to look along one side, and how much of it is image."""
    scaled = round(length * factor)
    # A pixel of it is a matter of rounding.
    if seen > scaled - 2:
        return 0, length, min(seen, scaled)
    begin = (scaled - seen) / 2
    return round(begin / factor), round((begin + seen) / factor), seen
