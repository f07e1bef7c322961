"""Parameters of a model, its multiply-adds as the papers count them, and all else it computes."""

from collections import defaultdict
from typing import Any

import torch
from mmengine.config import Config
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from mmattn.probe.operations import Cost, cost_of
from mmattn.probe.passes import needs_values, predict
from mmattn.probe.running import follow

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

    Args:
        module: As of :func:`count_costs`.
        shapes: As there.

    Returns:
        The count, or None for a Mask2Former, whose layers need the values of the maps.
    """
    if needs_values(module):
        return None
    return sum(cost.multiply_adds for cost in count_costs(module, *shapes).values())


def count_costs(module: nn.Module, *shapes: tuple[int, ...]) -> dict[str, Cost]:
    """Count what a prediction computes, for each module what it computes itself.

    The alignment of proposals is not counted, nor is anything behind the last layer of a head.

    Args:
        module: Module or whole model on the meta device, which is put in evaluation mode.
        shapes: Shape (N, C, H, W) of each of the maps that it takes, or of the image.

    Returns:
        Costs by the name of the module, which has those of its children besides.
    """
    module.eval()
    maps = [torch.empty(shape, device='meta') for shape in shapes]
    with follow(module) as running, torch.no_grad(), _Counter(running) as counter:
        predict(module, *maps)
    return dict(counter.costs)


class _Counter(TorchDispatchMode):
    """Adds up what operations cost, by the module that is running."""

    def __init__(self, running: list[str]) -> None:
        super().__init__()
        self.running = running
        self.costs: defaultdict[str, Cost] = defaultdict(Cost)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count it."""
        out = func(*args, **(kwargs or {}))
        name = self.running[-1]
        self.costs[name] = self.costs[name].plus(cost_of(func, args, out))
        return out
