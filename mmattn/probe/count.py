"""Parameters of a model, and its multiply-adds as the papers count them."""

from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor, nn

# A two-stage detector costs what its proposals cost. The counter of mmdet 2.x, which the papers
# used, feeds this many to every box head and this many to every mask head.
BOX_PROPOSALS = 1000
MASK_PROPOSALS = 100

# Height and width of an image in pixels where none are published, by the scope of a config.
USUAL_SIZES = {
    'mmdet': (800, 1280),
    'mmseg': (512, 512),
    'mmpretrain': (224, 224),
    'mmpose': (256, 192),
}


def counted_size(cfg: Config) -> tuple[int, int] | None:
    """Give height and width of the image for which a config is counted, if any are usual."""
    published = [
        result['flops_shape'] for result in published_results(cfg) if 'flops_shape' in result
    ]
    size = published[0] if published else USUAL_SIZES.get(cfg.get('default_scope'))
    return size and tuple(size)


def published_results(cfg: Config) -> list[dict]:
    """List what papers report for a config, as its ``published`` says: one result or several."""
    published = cfg.get('published', [])
    return [published] if isinstance(published, dict) else published


def count_parameters(module: nn.Module) -> int:
    """Count parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def count_multiply_adds(module: nn.Module, *shapes: tuple[int, ...]) -> int | None:
    """Count the multiply-adds of convolutions and matrix products.

    Norms, activations, poolings, resizing and the alignment of proposals are not counted, nor is
    anything behind the last layer of a head.

    Args:
        module: Module or whole model on the meta device, which is put in evaluation mode.
        shapes: Shape (N, C, H, W) of each of the maps that it takes, or of the image.

    Returns:
        The count, or None for a Mask2Former, whose layers need the values of the maps.
    """
    if hasattr(module, 'panoptic_head'):
        return None
    # Imports Triton, which only who counts needs.
    from torch.utils.flop_counter import FlopCounterMode

    module.eval()
    maps = [torch.empty(shape, device='meta') for shape in shapes]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        if hasattr(module, 'rpn_head') or hasattr(module, 'bbox_head'):
            _run_detector(module, *maps)
        else:
            module(*maps)
    return counter.get_total_flops() // 2


def _run_detector(model: Any, image: Tensor) -> None:
    """Run the layers of a detector, whose own forward pass needs the values of proposals."""
    maps = model.extract_feat(image)
    if not hasattr(model, 'rpn_head'):
        model.bbox_head(maps)
        return
    model.rpn_head(maps)
    roi = model.roi_head
    _run_heads(roi.bbox_head, roi.bbox_roi_extractor, image, BOX_PROPOSALS)
    if roi.with_mask:
        _run_heads(roi.mask_head, roi.mask_roi_extractor, image, MASK_PROPOSALS)


def _run_heads(heads: nn.Module, extractors: nn.Module, image: Tensor, proposals: int) -> None:
    """Run the head of each stage on maps of the shape that its extractor gives."""
    for head, extractor in zip(_listed(heads), _listed(extractors), strict=True):
        side = extractor.roi_layers[0].output_size
        head(image.new_empty(proposals, extractor.out_channels, *side))


def _listed(module: nn.Module) -> list[Any]:
    return list(module) if isinstance(module, nn.ModuleList) else [module]
