"""What attention and fusion modules do to an image, noted while a model runs on it."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from mmattn.inspection.sites import unwrapped

if TYPE_CHECKING:
    from mmattn.prediction.model import Model


@dataclass(frozen=True)
class Seen:
    """What one call of a module did to one image.

    Args:
        site: Name of the module.
        type: Its class.
        call: Which of its calls this is, from 1 on.
        index: Which image of the batch this is, from 0 on.
        gates: Its gates by name, each (C, H, W) with ones where it is the same for all channels,
            rows or columns.
        averaged: Whether the map is multiplied by their mean, instead of by one after the other.
        before: What came in, one map (H, W) for each input: the mean over its channels.
        after: What went out, in the same way.
        channels: How many channels the maps have.
        blend: Its blend factor, the mean of those of its channels; None where it has none.
        image: The image (H, W, 3) as the network saw it, resized, padded or cropped; None where
            the maps are not those of whole images, as those of the boxes of a detector.
        maps: How many maps there were for the one that this is: those of all boxes.
    """

    site: str
    type: str
    call: int
    index: int
    gates: dict[str, np.ndarray]
    averaged: bool
    before: list[np.ndarray]
    after: np.ndarray
    channels: int
    blend: float | None
    image: np.ndarray | None
    maps: int


@contextmanager
def watching(
    model: nn.Module, sites: Mapping[str, nn.Module], images: int = 1
) -> Iterator[list[Seen]]:
    """Note what modules do while the body runs the model.

    A module is asked for its gates right behind its forward, since what comes next in the host may
    change a map in place. Nothing of the model changes, and nothing is left behind in it.

    Args:
        model: The model.
        sites: Its modules that are looked at, by :func:`mmattn.inspection.sites.attention_sites`.
        images: How many images of a batch are looked at, the first ones.

    Yields:
        What is seen, in the order in which it happens.
    """
    watch = _Watch(unwrapped(model), images)
    handles = [
        module.register_forward_hook(partial(watch.note, name), with_kwargs=True)
        for name, module in sites.items()
    ]
    handles += [
        child.register_forward_pre_hook(watch.note_image) for child in watch.model.children()
    ]
    try:
        yield watch.seen
    finally:
        for handle in handles:
            handle.remove()


def look(model: 'Model', image: np.ndarray, sites: Mapping[str, nn.Module]) -> list[Seen]:
    """Let a trained model see an image, and note what its attention does to it.

    Args:
        model: The model, by :func:`mmattn.load`.
        image: Image (H, W, 3), uint8, RGB.
        sites: Its modules, by :func:`mmattn.inspection.sites.attention_sites`.

    Returns:
        What is seen, in the order in which the modules run.
    """
    module: Any = model.module
    with watching(module, sites) as seen, torch.no_grad():
        module.test_step(model.prepare([image]))
    return seen


class _Watch:
    def __init__(self, model: nn.Module, images: int) -> None:
        self.model = model
        self.images = images
        self.seen: list[Seen] = []
        self.calls: Counter[str] = Counter()
        # The batch that the network sees, (N, 3, H, W), and its first images as pictures.
        self.batch: Tensor | None = None
        self.pictures: list[np.ndarray] = []
        self.is_asking = False

    def note_image(self, module: nn.Module, args: tuple) -> None:
        """Note the images that go into a part of the model.

        Each window of a sliding one is an image of its own.
        """
        x = args[0] if args else None
        if isinstance(x, Tensor) and x.dim() == 4 and x.shape[1] == 3:
            self.batch = x
            preprocessor = getattr(self.model, 'data_preprocessor', None)
            self.pictures = [_as_picture(image, preprocessor) for image in x[: self.images]]

    def note(
        self, site: str, module: Any, args: tuple, kwargs: dict[str, Tensor], out: Tensor
    ) -> None:
        """Note what a call of a module did."""
        # A module that computes its gates may run others inside.
        if self.is_asking:
            return
        inputs = [*args, *kwargs.values()]
        count = len(out)
        is_of_images = self.batch is not None and count == len(self.batch)
        # What is not of whole images has many maps for one; the first one stands for them.
        shown = min(self.images, count) if is_of_images else 1
        inputs = [x[:shown] for x in inputs]
        gates = self._ask(module.gates, module, inputs)
        self.calls[site] += 1
        for i in range(shown):
            seen = Seen(
                site,
                type(module).__name__,
                self.calls[site],
                i,
                {name: _as_array(gate[min(i, len(gate) - 1)]) for name, gate in gates.items()},
                getattr(module, 'gates_are_averaged', False),
                [_as_array(x[i].detach().float().mean(0)) for x in inputs],
                _as_array(out[i].detach().float().mean(0)),
                out.shape[1],
                None if module.blend is None else float(module.blend.detach().mean()),
                self.pictures[i] if is_of_images else None,
                1 if is_of_images else count,
            )
            self.seen.append(seen)

    def _ask(
        self, gates: Callable[..., dict[str, Tensor]], module: nn.Module, inputs: list[Tensor]
    ) -> dict[str, Tensor]:
        modes = [(part, part.training) for part in module.modules()]
        self.is_asking = True
        try:
            for part, _ in modes:
                part.training = False
            with torch.no_grad():
                return gates(*inputs)
        finally:
            self.is_asking = False
            for part, mode in modes:
                part.training = mode


def _as_array(x: Tensor) -> np.ndarray:
    return x.detach().float().cpu().numpy()


def _as_picture(x: Tensor, preprocessor: Any) -> np.ndarray:
    """Turn an image (3, H, W) back into what it was before its values were normalized."""
    x = x.detach().float().cpu()
    if getattr(preprocessor, '_enable_normalize', False):
        x = x * preprocessor.std.float().cpu() + preprocessor.mean.float().cpu()
    else:
        x = (x - x.min()) / (x.max() - x.min()).clamp(min=1e-12) * 255
    # OpenMMLab reads images as BGR; mmpretrain and the others have two words for turning them.
    turned = [getattr(preprocessor, word, None) for word in ('_channel_conversion', 'to_rgb')]
    if False in turned and True not in turned:
        x = x.flip(0)
    return x.clamp(0, 255).round().byte().permute(1, 2, 0).numpy()
