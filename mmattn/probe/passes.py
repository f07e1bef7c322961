"""What one pass of a model is, so that all that is counted and measured is of the same pass."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmattn.probe.structures import leaves

# A two-stage detector costs what its proposals cost. The counter of mmdet 2.x, which the papers
# used, feeds this many to every box head and this many to every mask head.
BOX_PROPOSALS = 1000
MASK_PROPOSALS = 100

# In training the sampler of mmdet chooses this many of each image, and so many of them are on
# objects at most, which the mask heads are given.
TRAINED_BOXES = 512
TRAINED_MASKS = 128


def needs_values(model: nn.Module) -> bool:
    """Tell whether a model is a Mask2Former, whose layers need the values of the maps."""
    return hasattr(model, 'panoptic_head')


def predict(model: nn.Module, *inputs: Tensor) -> Any:
    """Run all layers of a model that a prediction runs.

    What stands behind the last layer of a head is left out, and the alignment of proposals: a
    two-stage detector is given :data:`BOX_PROPOSALS` and :data:`MASK_PROPOSALS` for each image.

    Args:
        model: Module or whole model.
        inputs: The maps that it takes, or images (N, 3, H, W).
    """
    if _is_detector(model):
        return _run_detector(model, inputs[0], BOX_PROPOSALS, MASK_PROPOSALS)
    return model(*inputs)


def loss_of(model: nn.Module, *inputs: Tensor) -> Tensor:
    """Run all layers of a model that training runs, up to one number.

    A segmentor enlarges its logits, those of its auxiliary heads too, and takes the cross entropy;
    of all other models the outputs are added up, in the place of the losses. A two-stage detector
    is given :data:`TRAINED_BOXES` and :data:`TRAINED_MASKS` for each image.

    Args:
        model: Module or whole model, in training mode.
        inputs: The maps that it takes, or images (N, 3, H, W).
    """
    if _is_detector(model):
        outputs = _run_detector(model, inputs[0], TRAINED_BOXES, TRAINED_MASKS)
    elif isinstance(model, BaseModel) and hasattr(model, 'decode_head'):
        outputs = list(_segmentation_losses(model, *inputs))
    else:
        outputs = model(*inputs)
    tensors = [value for _, value in leaves(outputs) if isinstance(value, Tensor)]
    return sum((t.sum() for t in tensors if t.requires_grad), inputs[0].new_zeros(()))


def _is_detector(model: nn.Module) -> bool:
    return hasattr(model, 'rpn_head') or hasattr(model, 'bbox_head')


def _run_detector(model: Any, images: Tensor, boxes: int, masks: int) -> list[Any]:
    """Run the layers of a detector, whose own forward pass needs the values of proposals."""
    maps = model.extract_feat(images)
    if not hasattr(model, 'rpn_head'):
        return [model.bbox_head(maps)]
    roi = model.roi_head
    outputs = [model.rpn_head(maps)]
    outputs += _run_heads(roi.bbox_head, roi.bbox_roi_extractor, images, boxes)
    if roi.with_mask:
        outputs += _run_heads(roi.mask_head, roi.mask_roi_extractor, images, masks)
    return outputs


def _run_heads(
    heads: nn.Module, extractors: nn.Module, images: Tensor, proposals: int
) -> Iterator[Any]:
    """Run the head of each stage on maps of the shape that its extractor gives."""
    for head, extractor in zip(_listed(heads), _listed(extractors), strict=True):
        side = extractor.roi_layers[0].output_size
        shape = (len(images) * proposals, extractor.out_channels, *side)
        # Training goes on through the alignment into the pyramid.
        yield head(images.new_zeros(shape).requires_grad_(torch.is_grad_enabled()))


def _segmentation_losses(model: Any, images: Tensor) -> Iterator[Tensor]:
    maps = model.extract_feat(images)
    auxiliary = getattr(model, 'auxiliary_head', None)
    for head in (model.decode_head, *(_listed(auxiliary) if auxiliary is not None else ())):
        logits = head.forward(maps)
        size = images.shape[2:]
        logits = F.interpolate(logits, size, mode='bilinear', align_corners=head.align_corners)
        labels = torch.zeros((len(images), *size), dtype=torch.long, device=images.device)
        yield F.cross_entropy(logits, labels)


def _listed(module: nn.Module) -> list[Any]:
    return list(module) if isinstance(module, nn.ModuleList) else [module]
