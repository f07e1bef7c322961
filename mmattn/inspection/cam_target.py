"""What a class activation map explains: a class, a region of pixels or a detection, as a number."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mmattn.errors import InputError
from mmattn.prediction.model import Model

# From here on OpenMMLab draws a detection, and from here on two boxes are about one thing.
DRAWN_SCORE = 0.3
SAME_BOX = 0.5


@dataclass(frozen=True)
class Target:
    """What is asked for. Nothing is what the model is surest of.

    Args:
        label: A class, by name or number. Of a detector: its detections of at least
            ``DRAWN_SCORE``, or the best one if none has that.
        region: Of a segmentor, the pixels: a box (x1, y1, x2, y2) in pixels of the image, without
            column x2 and row y2, or a mask (H, W); None for all that it takes for the class. Of a
            detector, the detection that overlaps this box most.
        detection: Of a detector, one detection: its index in the list sorted by score, or in that
            of the class if there is a label.
    """

    label: str | int | None = None
    region: Sequence[float] | np.ndarray | None = None
    detection: int | None = None


@dataclass(frozen=True)
class Answer:
    """What a model answers to a target.

    Args:
        evidence: The number that the map is about, with its gradient; it grows with the score.
        score: Score of the class, from 0 to 1: of pixels, their mean; of several detections, the
            highest.
        label: Name of the class.
        boxes: Boxes (K, 4) of the detections, in pixels of the image; none for other tasks.
        mask: Pixels (H, W) of a segmentor that were asked about; None for other tasks.
        target: What asks another model for the same.
    """

    evidence: Tensor
    score: float
    label: str
    boxes: np.ndarray
    mask: np.ndarray | None
    target: Target


def ask(model: Model, inputs: Tensor, samples: list, target: Target) -> Answer:
    """Run a model on one image and read the number that a target stands for.

    Args:
        model: The model.
        inputs: Prepared image (1, 3, H, W).
        samples: Its data sample.
        target: What is asked for.

    Raises:
        InputError: If the model has no such class, region or detection, or no such task.
    """
    if model.task not in _ASK:
        raise InputError(
            f'a class activation map is of a classifier, a segmentor or a detector; the task of '
            f'{type(model.module).__name__} is {model.task}'
        )
    return _ASK[model.task](model, inputs, samples, target)


def _ask_classifier(model: Model, inputs: Tensor, samples: list, target: Target) -> Answer:
    if target.region is not None or target.detection is not None:
        raise InputError('a classifier answers for the whole image; give a class alone')
    module: Any = model.module
    head = getattr(module, 'head', None)
    maps = module.extract_feat(inputs) if head is not None else None
    logits = head(maps) if head is not None else None
    if head is None or not isinstance(logits, Tensor):
        raise InputError(
            f'{type(module).__name__} with {type(head).__name__} as its head gives no one score of '
            'each class ahead of the softmax, which a map could be about'
        )
    scores = head.predict(maps, samples)[0].pred_score
    label = int(scores.argmax()) if target.label is None else find_class(model, target.label)
    name = model.classes[label]
    return Answer(
        evidence=logits[0, label],
        score=float(scores[label].detach()),
        label=name,
        boxes=np.empty((0, 4)),
        mask=None,
        target=Target(name),
    )


def _ask_segmentor(model: Model, inputs: Tensor, samples: list, target: Target) -> Answer:
    if target.detection is not None:
        raise InputError('a segmentor has no detections; give a class, a region or both')
    module: Any = model.module
    # In one piece, also where it is tested by sliding windows: each would have maps of its own.
    logits = module.encode_decode(inputs, [sample.metainfo for sample in samples])
    # It cuts off what was padded, and gives every pixel of the image its logits.
    [sample] = module.postprocess_result(logits, samples)
    logits, predicted = sample.seg_logits.data, sample.pred_sem_seg.data[0].long()
    if len(logits) == 1:
        # One channel is the probability of class 1.
        scores = torch.cat([1 - logits, logits])
        logits = torch.cat([-_log_odds(logits), _log_odds(logits)])
    else:
        scores = logits.softmax(0)
    mask = _mask_of(target.region, tuple(predicted.shape), predicted.device)
    there = predicted[mask].bincount(minlength=len(model.classes))
    label = int(there.argmax()) if target.label is None else find_class(model, target.label)
    name = model.classes[label]
    if target.region is None:
        mask = predicted == label
        if not mask.any():
            found = [model.classes[i] for i in there.argsort(descending=True) if there[i]]
            raise InputError(
                f'{name!r} is predicted for no pixel of the image; predicted are '
                f'{_first(found)}; give one of them, or the region to look at as well'
            )
    return Answer(
        evidence=logits[label][mask].mean(),
        score=float(scores[label][mask].detach().mean()),
        label=name,
        boxes=np.empty((0, 4)),
        mask=mask.cpu().numpy(),
        target=Target(name, mask.cpu().numpy()),
    )


def _ask_detector(model: Model, inputs: Tensor, samples: list, target: Target) -> Answer:
    module: Any = model.module
    # The scores in here have a gradient: through the non-maximum suppression, which only picks, to
    # the head, and of two stages through the cut-outs of the boxes, which stay fixed.
    with _keeping_gradients(getattr(module, 'bbox_head', None)):
        [sample] = module.predict(inputs, samples, rescale=True)
    found = sample.pred_instances
    order = found.scores.argsort(descending=True, stable=True)
    if not len(order):
        raise InputError(
            'the detector finds nothing in the image, so there is nothing to explain; lower the '
            'score_thr of model.test_cfg with --cfg-options'
        )
    what = 'detections'
    if target.label is not None:
        label = find_class(model, target.label)
        names = [model.classes[i] for i in found.labels[order].unique_consecutive()]
        order = order[found.labels[order] == label]
        what = f'detections of {model.classes[label]!r}'
        if not len(order):
            raise InputError(
                f'the detector finds no {model.classes[label]!r} in the image; it finds '
                f'{_first(list(dict.fromkeys(names)))}'
            )
    scores, boxes = found.scores[order], found.bboxes[order].detach()
    if target.region is not None and target.detection is not None:
        raise InputError('give a region or the index of a detection, not both')
    if target.region is not None:
        chosen = [_index_at(_box_of(target.region, sample.ori_shape), boxes, what)]
    elif target.detection is not None or target.label is None:
        index = target.detection or 0
        if not 0 <= index < len(order):
            raise InputError(
                f'there is no detection {index}: there are {len(order)} {what}, counted from 0, '
                'the best first'
            )
        chosen = [index]
    else:
        chosen = list(range(max(1, int((scores >= DRAWN_SCORE).sum()))))
    name = model.classes[int(found.labels[order[chosen[0]]])]
    height, width = sample.ori_shape
    limits = boxes.new_tensor([width, height, width, height])
    corners = boxes[chosen].clamp(min=0).minimum(limits).float().cpu().numpy()
    is_class = target.label is not None and target.region is None and target.detection is None
    return Answer(
        evidence=_log_odds(scores[chosen]).sum(),
        score=float(scores[chosen[0]].detach()),
        label=name,
        boxes=corners,
        mask=None,
        target=Target(name) if is_class else Target(name, tuple(map(float, corners[0]))),
    )


_ASK = {
    'classification': _ask_classifier,
    'segmentation': _ask_segmentor,
    'detection': _ask_detector,
    'instance': _ask_detector,
}


def find_class(model: Model, label: str | int) -> int:
    """Give the number of a class.

    Args:
        model: The model.
        label: Its name or its number, also as a string.

    Raises:
        InputError: If the model has no such class; it tells the nearest names.
    """
    classes, wanted = model.classes, str(label).lower()
    # ImageNet's names are lists of them, as in "hammer, hammerhead shark".
    words = [[word.strip().lower() for word in (name, *name.split(','))] for name in classes]
    found = [i for i, name in enumerate(classes) if name == label]
    found = found or [i for i, names in enumerate(words) if wanted in names]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(
            f'{len(found)} classes are called {label!r}; give the number of the one that is meant, '
            f'of {", ".join(map(str, found))}'
        )
    if wanted.isdecimal():
        if int(wanted) < len(classes):
            return int(wanted)
        raise InputError(
            f'there is no class {label}: the {len(classes)} classes are counted from 0 to '
            f'{len(classes) - 1}'
        )
    close = get_close_matches(wanted, {word for names in words for word in names}, n=3, cutoff=0)
    raise InputError(f'there is no class {label!r}; the nearest names are {_first(close)}')


def _log_odds(scores: Tensor) -> Tensor:
    """Undo the sigmoid: a score near 1 has next to no gradient, what was ahead of it has."""
    return torch.logit(scores, eps=1e-6)


class _Attached(TorchFunctionMode):
    """Let ``detach`` do nothing, but ahead of ``numpy``, which needs it."""

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if func is Tensor.detach:
            return args[0]
        if func is Tensor.numpy:
            args = (args[0].detach(), *args[1:])
        return func(*args, **(kwargs or {}))


@contextmanager
def _keeping_gradients(head: nn.Module | None) -> Iterator[None]:
    """Let the head of one stage keep the gradients of its scores, which it drops from its boxes."""
    if head is None or not hasattr(head, 'predict_by_feat'):
        yield
        return
    predict: Any = head.predict_by_feat

    def predict_by_feat(*args: Any, **kwargs: Any) -> Any:
        with _Attached():
            return predict(*args, **kwargs)

    head.predict_by_feat = predict_by_feat  # type: ignore[assignment]  # hides that of its class
    try:
        yield
    finally:
        del head.predict_by_feat


def _mask_of(
    region: Sequence[float] | np.ndarray | None, shape: tuple, device: torch.device
) -> Tensor:
    """Give the pixels (H, W) of a region; all if there is none."""
    if region is None:
        return torch.ones(shape, dtype=torch.bool, device=device)
    if isinstance(region, np.ndarray) and region.ndim == 2:
        if region.shape != shape or not region.any():
            raise InputError(
                f'expected a mask of {shape[0]} x {shape[1]} pixels with at least one of them, '
                f'got {int((region != 0).sum())} of {region.shape[0]} x {region.shape[1]}'
            )
        return torch.from_numpy(region.astype(bool)).to(device)
    mask = torch.zeros(shape, dtype=torch.bool, device=device)
    x1, y1, x2, y2 = (int(value) for value in _box_of(region, shape))
    mask[y1:y2, x1:x2] = True
    return mask


def _box_of(region: Sequence[float] | np.ndarray, shape: tuple) -> tuple[float, ...]:
    """Check a box."""
    height, width = shape
    box = tuple(region)
    if len(box) != 4 or not (0 <= box[0] < box[2] <= width and 0 <= box[1] < box[3] <= height):
        raise InputError(
            f'expected a region X1 Y1 X2 Y2 with 0 <= X1 < X2 <= {width} and '
            f'0 <= Y1 < Y2 <= {height}, the size of the image, got {" ".join(map(str, box))}'
        )
    return box


def _index_at(box: tuple[float, ...], boxes: Tensor, what: str) -> int:
    """Find the box that overlaps one most, by intersection over union."""
    from torchvision.ops import box_iou

    overlaps = box_iou(boxes.new_tensor([box]), boxes)[0]
    best = int(overlaps.argmax())
    if overlaps[best] < SAME_BOX:
        x1, y1, x2, y2 = (round(value) for value in box)
        raise InputError(
            f'none of the {len(boxes)} {what} has an intersection over union of at least '
            f'{SAME_BOX} with the box {x1} {y1} {x2} {y2}; the most is {overlaps[best]:.2f}'
        )
    return best


def _first(names: list[str]) -> str:
    return ', '.join(map(repr, names[:3])) + (', ...' if len(names) > 3 else '')
