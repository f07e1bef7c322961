"""What to run a host on when there is no data set: guessed from its attributes."""

import dataclasses
import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
from typing import Any, cast

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement, InstanceData
from torch import Tensor, nn

from mmattn.probe.structures import map_structure

InputShape = tuple[int, int, int] | list[tuple[int, int, int]]

# Height and width differ, so that (N, C, H, W) and (N, H, W, C) can be told apart, and both are
# multiples of 64, so that the maps of a pyramid fit on one another.
IMAGE = (256, 320)
SMALL_IMAGE = (128, 192)

# For hosts that insist on one size.
SQUARES = (224, 256, 512)

# Channels of what the first convolution of a backbone is given: an image, with or without alpha, or
# one of which every 2x2 pixels became channels.
IMAGE_CHANNELS = (1, 3, 4, 12)

# Regions of interest, on whose number no layer of a head depends.
REGIONS = 4

# Levels that a head shared by all levels is given, as FPN gives them by default.
LEVELS = 5


@dataclasses.dataclass(frozen=True, eq=False)
class Trial:
    """One way to run a host."""

    args: tuple
    """What its forward takes, with a :class:`torch.Size` in the place of each tensor."""

    image: tuple[int, int] | None = None
    mode: str | None = None
    """Mode of the forward of a whole model, None for a part."""

    def __str__(self) -> str:
        texts = map_structure(lambda size: 'x'.join(map(str, size)), self.args, torch.Size)
        return ' and '.join(
            f'{len(text)} maps ({", ".join(text)})' if isinstance(text, tuple) else text
            for text in texts
            if isinstance(text, (str, tuple))
        )

    def prepare(self, host: nn.Module, *, has_values: bool = False) -> None:
        """Let the parts of ``host`` that need values, and hold no weights, give only shapes.

        Args:
            host: What is to run.
            has_values: Whether its weights and inputs have values: then only proposals are given.
        """
        if self.mode:
            _stand_in_for_proposals(host)
            if not has_values:
                _stand_in_for_alignment(host)
            _run_auxiliary_heads(host)

    def run(self, host: nn.Module, tensor: Callable[[torch.Size], Tensor]) -> Any:
        """Give what ``host`` makes of tensors that ``tensor`` makes of their sizes."""
        args = map_structure(tensor, self.args, torch.Size)
        if self.mode:
            samples = _samples(self.image)
            samples[0].proposals = _proposals(args[0])
            return host(*args, samples, mode=self.mode)
        return host(*args)


def trials(
    host: nn.Module, input_shape: InputShape | None, image: tuple[int, int]
) -> Iterator[Trial]:
    """List the ways to run ``host``, the likeliest first.

    Args:
        host: Backbone, neck, head or whole model.
        input_shape: Shape (C, H, W) of its input, or one for each of the maps that it takes.
        image: Height and width of the image, unless the host insists on another.

    Yields:
        Ways to run the host.
    """
    if isinstance(host, BaseModel):
        images = _images(host, image) if input_shape is None else _given(host, input_shape)
        for trial, mode in product(images, ('tensor', 'predict')):
            yield dataclasses.replace(trial, mode=mode)
    elif input_shape is not None:
        yield from _given(host, input_shape)
    elif hasattr(host, 'roi_feat_size'):
        yield from _regions(host)
    elif _takes_image(host):
        yield from _images(host, image)
        yield from _pyramids(host, image)
    else:
        yield from _pyramids(host, image)
        yield from _images(host, image)


def _given(host: nn.Module, input_shape: InputShape) -> Iterator[Trial]:
    if isinstance(input_shape, tuple):
        size = torch.Size((1, *input_shape))
        yield Trial((size,), cast(tuple[int, int], tuple(input_shape[1:])))
        yield Trial(_with_second_argument(host, (size,)))
    else:
        yield Trial(_with_second_argument(host, tuple(torch.Size((1, *s)) for s in input_shape)))


def _takes_image(host: nn.Module) -> bool:
    channels = _first_channels(host)
    return channels is None or channels in IMAGE_CHANNELS or hasattr(host, 'out_indices')


def _first_channels(host: nn.Module) -> int | None:
    convs = (m for m in host.modules() if isinstance(m, nn.modules.conv._ConvNd))
    return next((conv.in_channels for conv in convs), None)


def _images(host: nn.Module, image: tuple[int, int]) -> Iterator[Trial]:
    own = (getattr(module, 'img_size', None) for module in host.modules())
    sides = dict.fromkeys(_pair(side) for side in (*own, *SQUARES) if side)
    channels = [3, _first_channels(host)]
    for count in dict.fromkeys(c for c in channels if c in IMAGE_CHANNELS):
        for size in (image, *sides):
            yield Trial((torch.Size((1, count, *size)),), size)


def _pair(side: int | Sequence[int]) -> tuple[int, int]:
    height, width = side if isinstance(side, Sequence) else (side, side)
    return int(height), int(width)


def _regions(host: Any) -> Iterator[Trial]:
    size = torch.Size((REGIONS, host.in_channels, *_pair(host.roi_feat_size)))
    if _required_arguments(host) == 1:
        yield Trial((size,))
    else:
        yield Trial((size, size))
        yield Trial((size, torch.Size((1, REGIONS, host.in_channels))))


def _pyramids(host: nn.Module, image: tuple[int, int]) -> Iterator[Trial]:
    """List ways to give the maps of several levels, then of one, to a neck or head."""

    def size(channels: int, stride: int) -> torch.Size:
        return torch.Size((1, channels, *(math.ceil(side / stride) for side in image)))

    for channels in _channels_of_levels(host):
        strides = _strides(host, len(channels))
        pyramid = tuple(map(size, channels, strides))
        reverse = tuple(map(size, channels[::-1], strides))
        same_size = tuple(size(c, 16) for c in channels)
        vectors = tuple(torch.Size((1, c)) for c in channels)
        for maps in (pyramid, reverse, same_size, (size(3, 1), *pyramid)):
            yield Trial(_with_second_argument(host, maps))
        if len(channels) == 1:
            yield Trial(_with_second_argument(host, pyramid[0]))
        if len(channels) == 1 and _required_arguments(host) == 2:
            yield Trial((pyramid[0], pyramid[0]))  # Two maps are fused.
        yield Trial((vectors,))


def _channels_of_levels(host: nn.Module) -> Iterator[list[int]]:
    own: Any = getattr(host, 'in_channels', None)
    if hasattr(host, 'in_index'):
        yield _channels_of_selected(host, own)
        return
    if isinstance(own, Sequence):
        yield list(own)
        return
    # A list of layers has one for each level.
    for layers in host.children():
        if isinstance(layers, nn.ModuleList) and len(layers) > 1:
            yield [_first_channels(layer) or 1 for layer in layers]
            break
    levels = getattr(host, 'num_levels', LEVELS)
    for attribute in ('strides', 'rescales'):
        listed = getattr(getattr(host, 'prior_generator', host), attribute, None)
        levels = len(listed) if isinstance(listed, Sequence) else levels
    for channels in dict.fromkeys([own, _first_channels(host)]):
        if isinstance(channels, int):
            yield [channels] * levels
            yield [channels]


def _channels_of_selected(head: Any, channels: Any) -> list[int]:
    """Give the channels of all levels, of which a decode head selects some by ``in_index``."""
    if isinstance(head.in_index, int):
        selected = {head.in_index: channels}
    elif isinstance(channels, int):
        # Resized and concatenated: the head knows only their sum.
        rest = [1] * (len(head.in_index) - 1)
        selected = dict(zip(head.in_index, [channels - sum(rest), *rest], strict=True))
    else:
        selected = dict(zip(head.in_index, channels, strict=True))
    length = max(index + 1 if index >= 0 else -index for index in selected)
    levels: list[Any] = [1] * length
    shallow = getattr(head, 'c1_bottleneck', None)
    if shallow is not None:
        levels[0] = _first_channels(shallow)
    for index, count in selected.items():
        levels[index] = count
    return levels


def _strides(host: nn.Module, levels: int) -> list[int]:
    own = getattr(getattr(host, 'prior_generator', host), 'strides', ())
    if isinstance(own, Sequence) and len(own) == levels:
        return [stride[0] if isinstance(stride, Sequence) else stride for stride in own]
    first = max(2, 6 - levels)
    return [2 ** (first + level) for level in range(levels)]


def _required_arguments(host: nn.Module) -> int:
    parameters = inspect.signature(host.forward).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.default is p.empty and p.kind in kinds for p in parameters)


def _with_second_argument(host: nn.Module, maps: tuple) -> tuple:
    """Add what a head takes besides maps: samples, or the logits of the head before it."""
    if _required_arguments(host) < 2:
        return (maps,)
    if 'batch_data_samples' in inspect.signature(host.forward).parameters:
        return maps, _samples(IMAGE)
    first = maps if isinstance(maps, torch.Size) else maps[0]
    return maps, torch.Size((1, getattr(host, 'num_classes', 1), *first[2:]))


def _samples(image: tuple[int, int] | None) -> list[BaseDataElement]:
    shapes = ('img_shape', 'ori_shape', 'pad_shape', 'batch_input_shape')
    metainfo = {**dict.fromkeys(shapes, image), 'scale_factor': (1.0, 1.0), 'flip': False}
    return [BaseDataElement(metainfo=metainfo)]


def _stand_in_for_proposals(model: nn.Module) -> None:
    """Let a two-stage detector run its RPN head, but not search its output for proposals."""
    rpn: Any = getattr(model, 'rpn_head', None)
    if not hasattr(rpn, 'prior_generator') or not hasattr(model, 'roi_head'):
        return

    def predict(maps: Sequence[Tensor], *args, **kwargs) -> list[InstanceData]:
        rpn(maps)
        return [_proposals(maps[0])]

    rpn.predict = predict


def _proposals(like: Tensor) -> InstanceData:
    box = like.new_tensor([0, 0, 64, 64])
    return InstanceData(bboxes=box.expand(REGIONS, 4))


def _stand_in_for_alignment(model: Any) -> None:
    """Let extractors of regions give maps of the right shape, unless they have weights."""
    for extractor in model.modules():
        if hasattr(extractor, 'roi_layers') and not any(True for _ in extractor.parameters()):
            extractor.forward = partial(
                _regions_of, extractor.out_channels, extractor.roi_layers[0].output_size
            )


def _regions_of(
    channels: int, side: tuple[int, int], maps: Sequence[Tensor], rois: Tensor, *args, **kwargs
) -> Tensor:
    return maps[0].new_zeros(len(rois), channels, *side)


def _run_auxiliary_heads(model: Any) -> None:
    """Let the heads that only train run as well, on what the others are given."""
    heads = getattr(model, 'auxiliary_head', None)
    if heads is None:
        return
    extract = model.extract_feat

    def extract_feat(*args, **kwargs) -> Any:
        maps = extract(*args, **kwargs)
        for head in heads if isinstance(heads, nn.ModuleList) else [heads]:
            head(maps)
        return maps

    model.extract_feat = extract_feat
