"""What a detector of two stages makes of its maps, in tensors of fixed sizes.

The first stage proposes P boxes, the second scores and moves them, and Mask R-CNN draws the N that
are left. P and N are what the config allows at most; a place that is not taken has the score -1.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torchvision
from torch import Tensor

from mmattn.deploy.detections import (
    NONE,
    best,
    check_suppression,
    flat,
    inside,
    suppress,
    without_small,
)
from mmattn.errors import InputError

# So many pairs of a proposal and a class are looked at, the best ones. It bounds what suppression
# takes, and of trained models far fewer are above the threshold.
_PAIRS = 4096

# The methods that are said in tensors here, and in which part of a detector they are.
_METHODS = {
    'rpn_head': ('RPNHead._predict_by_feat_single', 'RPNHead._bbox_post_process'),
    'roi_head': ('StandardRoIHead.predict_bbox', 'StandardRoIHead.predict_mask'),
    'roi_head.bbox_head': ('BBoxHead._predict_by_feat_single',),
    'roi_head.mask_head': ('FCNMaskHead._predict_by_feat_single',),
}


def check_two_stages(module: Any) -> None:
    """Check that a detector finds boxes and masks as it is said here.

    Args:
        module: A detector of mmdet in two stages.

    Raises:
        InputError: If not.
    """
    if not module.with_rpn:
        raise InputError(
            f'{type(module).__name__} takes proposals from elsewhere and cannot be exported; '
            'expected a detector with an rpn_head'
        )
    for place, methods in _METHODS.items():
        part: Any = module
        for name in place.split('.'):
            part = getattr(part, name, None)
        # Faster R-CNN has no mask_head.
        if part is not None:
            _check_methods(part, methods)
    roi_head = module.roi_head
    box_head = roi_head.bbox_head
    if roi_head.with_shared_head or box_head.custom_cls_channels or not box_head.with_reg:
        raise InputError(
            f'{type(roi_head).__name__} cannot be exported with a shared head, with scores of its '
            'loss_cls or without boxes; expected it as the configs of mmattn have it'
        )
    if module.rpn_head.test_cfg.nms_pre < 1:
        raise InputError('a detector is exported with a test_cfg.rpn.nms_pre of 1 or more')
    for cfg in (module.rpn_head.test_cfg, roi_head.test_cfg):
        check_suppression(cfg.get('nms'))
    for name in ('bbox_roi_extractor', 'mask_roi_extractor'):
        extractor = getattr(roi_head, name, None)
        if extractor is not None:
            _check_extractor(extractor)


def _check_methods(part: Any, methods: Sequence[str]) -> None:
    for method in methods:
        own: Any = getattr(type(part), method.partition('.')[2], None)
        if getattr(own, '__qualname__', '') != method:
            raise InputError(
                f'{type(part).__name__} predicts in a way of its own and cannot be exported; '
                'expected RPNHead, StandardRoIHead, a head of boxes such as Shared2FCBBoxHead, '
                'and FCNMaskHead'
            )


def _check_extractor(extractor: Any) -> None:
    kinds = {type(layer).__name__ for layer in extractor.roi_layers}
    modes = {getattr(layer, 'pool_mode', None) for layer in extractor.roi_layers}
    if (
        type(extractor).__name__ != 'SingleRoIExtractor'
        or kinds != {'RoIAlign'}
        or modes != {'avg'}
    ):
        raise InputError(
            f'{type(extractor).__name__} with {", ".join(sorted(kinds))} cannot be exported; '
            'expected SingleRoIExtractor with RoIAlign'
        )


def proposals(head: Any, feats: Sequence[Tensor], height: int, width: int) -> tuple[Tensor, Tensor]:
    """Give what the first stage proposes, as ``RPNHead.predict`` does.

    Args:
        head: The head of the first stage.
        feats: Maps (1, C, H_i, W_i) of the levels.
        height: Height of the image without padding.
        width: Width of it.

    Returns:
        Boxes (P, 4) and scores (P,), by falling scores, 0 and -1 in places that are not taken.
    """
    cfg = head.test_cfg
    maps = [[level.float() for level in kind] for kind in head(feats)]
    sizes = [level.shape[2:] for level in maps[0]]
    priors = head.prior_generator.grid_priors(sizes, dtype=torch.float32, device=maps[0][0].device)
    found = []
    for level, (logits, sides) in enumerate(zip(*maps, strict=True)):
        logits = flat(logits, head.cls_out_channels)
        scores = logits.sigmoid() if head.use_sigmoid_cls else logits.softmax(-1)[:, :-1]
        values, places, _ = best(scores, NONE, cfg.nms_pre)
        chosen = flat(sides, head.bbox_coder.encode_size)[places]
        boxes = head.bbox_coder.decode(priors[level][places], chosen)
        # Boxes of one level suppress no others.
        found.append((boxes, values, torch.full_like(places, level)))
    boxes, scores, levels = (torch.cat(each) for each in zip(*found, strict=True))
    boxes = inside(boxes, height, width)
    scores = without_small(boxes, scores, cfg.get('min_bbox_size', -1))
    count = min(cfg.max_per_img, len(scores))
    boxes, scores, _ = suppress(boxes, scores, levels, cfg.nms, count)
    return boxes, scores


def features_of_boxes(extractor: Any, feats: Sequence[Tensor], boxes: Tensor) -> Tensor:
    """Give the features inside of boxes, as ``SingleRoIExtractor`` does.

    Args:
        extractor: The extractor.
        feats: Maps (1, C, H_i, W_i) of the levels.
        boxes: Boxes (N, 4).

    Returns:
        Features (N, C, h, w), each from the level that is for boxes of its size.
    """
    # Which box is of which level is not known before; so all are taken from each.
    boxes = torch.cat([torch.zeros_like(boxes[:, :1]), boxes], 1)
    feats = feats[: extractor.num_inputs]
    numbers = extractor.map_roi_levels(boxes, len(feats))[:, None, None, None]
    found: Any = 0
    for number, (layer, level) in enumerate(zip(extractor.roi_layers, feats, strict=True)):
        aligned = torchvision.ops.roi_align(
            level.float(),
            boxes,
            layer.output_size,
            layer.spatial_scale,
            layer.sampling_ratio,
            layer.aligned,
        )
        found = torch.where(numbers == number, aligned, found)
    return found.to(feats[0].dtype)


def detections(
    head: Any, feats: Sequence[Tensor], proposed: tuple[Tensor, Tensor], height: int, width: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Give what the second stage makes of proposals, as ``StandardRoIHead.predict_bbox`` does.

    Args:
        head: The head of the second stage.
        feats: Maps (1, C, H_i, W_i) of the levels.
        proposed: What :func:`proposals` gives.
        height: Height of the image without padding.
        width: Width of it.

    Returns:
        Boxes (N, 4), scores (N,) and labels (N,), as
        :func:`mmattn.deploy.detections.suppress` gives them.
    """
    cfg, box_head = head.test_cfg, head.bbox_head
    boxes, scores = proposed
    logits, sides = box_head(features_of_boxes(head.bbox_roi_extractor, feats, boxes))
    classes = logits.float().softmax(-1)[:, :-1]
    classes = torch.where((scores > NONE)[:, None], classes, NONE)
    count = min(_PAIRS, classes.numel())
    values, places, labels = best(classes, cfg.score_thr, count)
    size = box_head.bbox_coder.encode_size
    sides = sides.float().reshape(len(boxes), -1, size)
    of_class = torch.zeros_like(labels) if box_head.reg_class_agnostic else labels
    moved = box_head.bbox_coder.decode(boxes[places], sides[places, of_class])
    if getattr(box_head.bbox_coder, 'clip_border', True):
        moved = inside(moved, height, width)
    return suppress(moved, values, labels, cfg.nms, min(cfg.max_per_img, count))


def masks(head: Any, feats: Sequence[Tensor], boxes: Tensor, labels: Tensor) -> Tensor:
    """Give what ``FCNMaskHead`` draws into boxes.

    Args:
        head: The head of the second stage.
        feats: Maps (1, C, H_i, W_i) of the levels.
        boxes: Boxes (N, 4).
        labels: Their classes (N,), -1 in places that are not taken.

    Returns:
        Probabilities (N, h, w) that a pixel is of the object, over the box of each.
    """
    drawn = head.mask_head(features_of_boxes(head.mask_roi_extractor, feats, boxes)).float()
    if head.mask_head.class_agnostic:
        return drawn[:, 0].sigmoid()
    _, _, height, width = drawn.shape
    numbers = labels.clamp(min=0)[:, None, None, None].expand(-1, 1, height, width)
    return drawn.gather(1, numbers)[:, 0].sigmoid()
