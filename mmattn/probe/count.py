"""Parameters of a model, and its multiply-adds as the papers count them."""

import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mmattn.probe.meta_device import meta_device

# A two-stage detector costs what its proposals cost. The counter of mmdet 2.x, which the papers
# used, feeds this many to every box head and this many to every mask head.
BOX_PROPOSALS = 1000
MASK_PROPOSALS = 100


def build(cfg: Config) -> nn.Module:
    """Build the model of a config without memory for its weights."""
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    with meta_device():
        return revert_sync_batchnorm(MODELS.build(cfg.model))


def count_parameters(model: nn.Module) -> int:
    """Count parameters."""
    return sum(p.numel() for p in model.parameters())


def count_multiply_adds(model: nn.Module, size: tuple[int, int]) -> float | None:
    """Count the multiply-adds of convolutions and matrix products for one image.

    Norms, activations, poolings, resizing and the alignment of proposals are not counted, nor is
    anything behind the last layer of a head.

    Args:
        model: Backbone or whole model on the meta device.
        size: Height and width of the image in pixels.

    Returns:
        The count, or None for a Mask2Former, whose layers need the values of the maps.
    """
    if hasattr(model, 'panoptic_head'):
        return None
    model.eval()
    image = torch.rand(1, 3, *size, device='meta')
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        if hasattr(model, 'rpn_head') or hasattr(model, 'bbox_head'):
            _run_detector(model, image)
        else:
            model(image)
    return counter.get_total_flops() / 2


def _run_detector(model: nn.Module, image: Tensor) -> None:
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


def _listed(module: nn.Module) -> list[nn.Module]:
    return list(module) if isinstance(module, nn.ModuleList) else [module]
