"""Find the feature maps in what a module takes or returns, in whatever layout they lie there."""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mmattn.probe.dry_run import DryRun, Record
from mmattn.probe.structures import Path, get, grids, leaves

# Class token, distillation token and registers, which come before the tokens of the map.
MOST_EXTRA_TOKENS = 8


@dataclass
class Map:
    """One feature map in what a module takes or returns.

    Args:
        path: Where in the structure it lies.
        layout: ``'NCHW'``, ``'NHWC'``, or ``'NLC'`` for a sequence of tokens.
        shape: Shape there in the dry forward.
        grid: Height and width of the tokens in the dry forward.
        grid_path: Where in (value, args, kwargs) the grid lies, if it lies there.
        grid_source: Module that returned the grid earlier, if one did; in a tuple, because it is
            not part of whoever holds the map.
        grid_source_path: Where in what it returned the grid lies.
        extra: Tokens ahead of those of the map.
    """

    path: Path
    layout: Literal['NCHW', 'NHWC', 'NLC']
    shape: tuple[int, ...]
    grid: tuple[int, int] | None = None
    grid_path: Path | None = None
    grid_source: tuple = ()
    grid_source_path: Path | None = None
    extra: int = 0

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.shape[1] if self.layout == 'NCHW' else self.shape[-1]

    @property
    def is_known(self) -> bool:
        """Whether height and width are known."""
        return self.layout != 'NLC' or self.grid is not None

    @property
    def map_shape(self) -> tuple[int, int, int, int]:
        """Shape (N, C, H, W) of the map in the dry forward."""
        if self.layout == 'NLC':
            assert self.grid is not None  # Only known maps are asked.
            h, w = self.grid
        else:
            h, w = self.shape[2:] if self.layout == 'NCHW' else self.shape[1:3]
        return self.shape[0], self.channels, h, w

    def to_map(self, x: Tensor, context: tuple) -> Tensor:
        """Bring a tensor of this layout into the shape (N, C, H, W), as a view.

        Args:
            x: The tensor.
            context: Value, positional and keyword arguments of the module.

        Raises:
            ValueError: If the tokens do not fill the grid.
        """
        if self.layout == 'NCHW':
            return x
        if self.layout == 'NHWC':
            return x.permute(0, 3, 1, 2)
        length = x.shape[1] - self.extra
        if self.grid_path is not None:
            h, w = get(context, self.grid_path)
        elif self.grid_source:
            h, w = self.grid_source[0].last_grid
        else:
            h = w = round(length**0.5)
        if h * w != length:
            raise ValueError(
                f'expected {h} x {w} tokens and {self.extra} ahead of them, got {x.shape[1]}; '
                'put the attention where the host has maps, after a stage or after the host'
            )
        return x[:, self.extra :].transpose(1, 2).unflatten(2, (h, w))

    def from_map(self, out: Tensor, x: Tensor) -> Tensor:
        """Bring the shape (N, C, H, W) back into this layout.

        Args:
            out: What the attention made of the map.
            x: The tensor that the map was taken from.
        """
        if self.layout == 'NCHW':
            return out
        if self.layout == 'NHWC':
            out = out.permute(0, 2, 3, 1)
        else:
            out = out.flatten(2).transpose(1, 2)
            if self.extra:
                out = torch.cat([x[:, : self.extra], out], dim=1)
        # What follows in the host may ask for a view.
        return out.contiguous() if x.is_contiguous() else out


def maps_of(record: Record, place: str, host: nn.Module, run: DryRun) -> list[Map]:
    """Find the maps in what a module takes or returns.

    Args:
        record: The module in the dry forward.
        place: ``'before'`` for what it takes, else what it returns.
        host: Host of the module.
        run: The dry forward.
    """
    maps = find_maps(value_at(record, place), record.args, record.kwargs, run.image)
    for feature_map in maps:
        if feature_map.layout == 'NLC' and feature_map.grid_path is None:
            _find_grid_source(feature_map, record, host, run)
    return maps


def value_at(record: Record, place: str) -> object:
    """Give what a module takes, its first argument, or returns."""
    if place != 'before':
        return record.output
    return record.args[0] if record.args else next(iter(record.kwargs.values()), None)


def has_maps(record: Record, place: str, host: nn.Module, run: DryRun) -> bool:
    """Tell whether a module takes or returns maps of known height and width."""
    return any(m.is_known for m in maps_of(record, place, host, run))


def shapes_at(feature_map: Map, place: str, calls: list[Record]) -> list[tuple[int, ...]]:
    """List the shapes (N, C, H, W) that a map has at each call."""
    shapes: list[tuple[int, ...]] = [feature_map.map_shape]
    for call in calls[1:]:
        x = get(value_at(call, place), feature_map.path)
        context = (value_at(call, place), call.args, call.kwargs)
        # The grid of tokens that another module gave is known for the first call only.
        if feature_map.grid_source:
            shapes.append(feature_map.map_shape)
        else:
            shapes.append(tuple(feature_map.to_map(x, context).shape))
    return shapes


def _find_grid_source(feature_map: Map, record: Record, host: nn.Module, run: DryRun) -> None:
    """Look for the module that told the height and width of these tokens before they got here."""
    for name, earlier in run.records.items():
        if name == record.name:
            return
        if f'{record.name}.'.startswith(f'{name}.') or not name:
            continue  # has not returned by then
        for path, (h, w) in grids(earlier.output):
            extra = feature_map.shape[1] - h * w
            if h * w > 0 and 0 <= extra <= MOST_EXTRA_TOKENS:
                feature_map.grid, feature_map.extra = (h, w), extra
                feature_map.grid_source = (host.get_submodule(name),)
                feature_map.grid_source_path = path


def find_maps(value: Any, args: tuple, kwargs: dict, image: tuple[int, int] | None) -> list[Map]:
    """Find the maps in what a module takes or returns.

    Args:
        value: What it takes or returns, with tensors.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        image: Height and width of the image that the maps come from, if known.

    Returns:
        The maps, in the order in which they lie there. Tokens whose grid is not known from
        here have neither ``grid`` nor ``grid_path``.
    """
    known = list(grids((value, args, kwargs)))
    found = []
    for path, x in leaves(value):
        if not isinstance(x, Tensor) or not x.is_floating_point() or 0 in x.shape:
            continue
        shape = tuple(x.shape)
        if len(shape) == 4:
            found.append(Map(path, _layout(shape, image), shape))
        elif len(shape) == 3:
            found.append(_with_grid(Map(path, 'NLC', shape), known, image))
    return found


def _layout(shape: tuple[int, ...], image: tuple[int, int] | None) -> Literal['NCHW', 'NHWC']:
    _, a, b, c = shape
    if image and _is_strided(a, b, image) and not _is_strided(b, c, image):
        return 'NHWC'
    return 'NCHW'


def _is_strided(h: int, w: int, image: tuple[int, int]) -> bool:
    """Tell whether ``image`` seen at some stride is of size (h, w)."""
    return abs(h * image[1] / image[0] - w) <= 1 + image[1] / image[0]


def _with_grid(tokens: Map, known: list, image: tuple[int, int] | None) -> Map:
    length = tokens.shape[1]
    for path, (h, w) in known:
        if 0 <= length - h * w <= MOST_EXTRA_TOKENS and h * w > 0:
            return replace(tokens, grid=(h, w), grid_path=path, extra=length - h * w)
    if image and image[0] == image[1]:
        side = math.isqrt(length)
        extra = length - side**2
        if side > 1 and extra <= MOST_EXTRA_TOKENS:
            return replace(tokens, grid=(side, side), extra=extra)
    return tokens
