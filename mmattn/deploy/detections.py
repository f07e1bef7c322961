"""What a detector makes of its maps, in tensors of fixed sizes that tracers can follow.

OpenMMLab keeps what scores enough, as many as that are. Here everything has a place, and what does
not count has the score -1: so no size depends on a value.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torchvision
from torch import Tensor

from mmattn.errors import InputError

# Of a place without a detection: no probability is below it.
NONE = -1.0
_NMS_OPTIONS = {'type', 'iou_threshold', 'class_agnostic', 'split_thr'}


def best(scores: Tensor, threshold: float, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Choose the best of the pairs of N priors and K classes.

    Args:
        scores: Scores (N, K).
        threshold: What they have to be above.
        count: How many to choose.

    Returns:
        Of each, by falling scores: its score, -1 where there are fewer, the number of its prior,
        and its class.
    """
    valid = torch.where(scores > threshold, scores, NONE).flatten()
    # A map may have fewer, by its size, which tracers do not know.
    values, numbers = torch.cat([valid, valid.new_full((count,), NONE)]).topk(count)
    numbers = torch.where(values > NONE, numbers, 0)
    classes = scores.shape[1]
    return values, numbers // classes, numbers % classes


def suppress(
    boxes: Tensor, scores: Tensor, labels: Tensor, options: dict[str, Any], count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Leave out boxes that overlap with a better one of their class, and keep the best.

    Args:
        boxes: Boxes (N, 4) of x and y of two corners.
        scores: Scores (N,), -1 of what does not count.
        labels: Classes (N,).
        options: As ``test_cfg.nms`` of mmdet.
        count: How many to keep, N at most.

    Returns:
        Boxes (count, 4), scores (count,) and labels (count,), by falling scores. Where there are
        fewer, they are 0, -1 and -1.
    """
    boxes = torch.where((scores > NONE)[:, None], boxes, 0.0)
    apart = boxes
    if not options.get('class_agnostic', False):
        # Classes far from each other do not overlap: as mmcv does it, to the bit.
        apart = boxes + (labels.to(boxes) * (boxes.max() + 1))[:, None]
    kept = torchvision.ops.nms(apart, scores, options['iou_threshold'])
    is_kept = torch.zeros_like(scores).index_fill(0, kept, 1.0)
    scores, order = torch.where(is_kept > 0, scores, NONE).topk(count)
    found = scores > NONE
    boxes = torch.where(found[:, None], boxes[order], 0.0)
    return boxes, scores, torch.where(found, labels[order], -1)


def check_suppression(options: Any) -> None:
    """Check that boxes are left out in the way that is known here.

    Args:
        options: ``test_cfg.nms`` of mmdet.

    Raises:
        InputError: If not.
    """
    kind = (options or {}).get('type')
    unknown = sorted(set(options or {}) - _NMS_OPTIONS)
    if kind != 'nms' or unknown:
        what = f'options {", ".join(unknown)}' if unknown else f'type={kind!r}'
        raise InputError(
            f"test_cfg.nms with {what} cannot be exported; expected dict(type='nms', "
            'iou_threshold=...)'
        )


def check_dense_head(head: Any) -> None:
    """Check that a head finds detections as :func:`dense_detections` does.

    Args:
        head: The head.

    Raises:
        InputError: If not.
    """
    own: Any = getattr(type(head), '_predict_by_feat_single', None)
    if getattr(own, '__qualname__', '') != 'BaseDenseHead._predict_by_feat_single':
        raise InputError(
            f'{type(head).__name__} finds boxes in a way of its own and cannot be exported; '
            'expected a head such as RetinaHead, ATSSHead, FCOSHead or SSDHead'
        )
    if getattr(head.loss_cls, 'custom_cls_channels', False) or head.test_cfg.nms_pre < 1:
        raise InputError(
            f'{type(head).__name__} cannot be exported with the scores of its loss_cls or without '
            'test_cfg.nms_pre; expected sigmoid or softmax, and nms_pre of 1 or more'
        )
    check_suppression(head.test_cfg.get('nms'))


def dense_detections(
    head: Any, maps: Sequence[Sequence[Tensor]], height: int, width: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Give the detections of a dense head, as ``BaseDenseHead.predict_by_feat`` finds them.

    Args:
        head: The head.
        maps: What its forward gives for one image: scores, sides and, of some heads, factors of the
            scores, each one map (1, C, H, W) of a level.
        height: Height of the image without padding.
        width: Width of it.

    Returns:
        Boxes (N, 4), scores (N,) and labels (N,), as :func:`suppress` gives them.
    """
    cfg = head.test_cfg
    maps = [[level.float() for level in kind] for kind in maps]
    sizes = [level.shape[2:] for level in maps[0]]
    priors = head.prior_generator.grid_priors(sizes, dtype=torch.float32, device=maps[0][0].device)
    found = []
    for number, (logits, sides) in enumerate(zip(maps[0], maps[1], strict=True)):
        logits = flat(logits, head.cls_out_channels)
        scores = logits.sigmoid() if head.use_sigmoid_cls else logits.softmax(-1)[:, :-1]
        values, places, labels = best(scores, cfg.get('score_thr', 0), cfg.nms_pre)
        if len(maps) > 2:
            factors = flat(maps[2][number], 1)[:, 0].sigmoid()
            values = torch.where(values > NONE, values * factors[places], NONE)
        chosen = flat(sides, head.bbox_coder.encode_size)[places]
        boxes = head.bbox_coder.decode(priors[number][places], chosen)
        found.append((boxes, values, labels))
    boxes, scores, labels = (torch.cat(each) for each in zip(*found, strict=True))
    if getattr(head.bbox_coder, 'clip_border', True):
        boxes = inside(boxes, height, width)
    scores = without_small(boxes, scores, cfg.get('min_bbox_size', -1))
    return suppress(boxes, scores, labels, cfg.nms, min(cfg.max_per_img, len(scores)))


def inside(boxes: Tensor, height: int, width: int) -> Tensor:
    """Cut boxes (N, 4) at the borders of an image."""
    x, y = boxes[:, 0::2].clamp(0, width), boxes[:, 1::2].clamp(0, height)
    return torch.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], 1)


def without_small(boxes: Tensor, scores: Tensor, least: float) -> Tensor:
    """Give the scores, -1 of boxes with a side of ``least`` or less, unless that is below 0."""
    if least < 0:
        return scores
    sides = boxes[:, 2:] - boxes[:, :2]
    return torch.where((sides > least).all(1), scores, NONE)


def flat(level: Tensor, channels: int) -> Tensor:
    """Give the values of a map (1, A * C, H, W) of each of its H * W * A priors, (N, C)."""
    return level[0].permute(1, 2, 0).reshape(-1, channels)
