"""What a variant costs: counted without memory, and timed when nothing else runs."""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from mmattn.engine.config import load_config
from mmattn.errors import InputError
from mmattn.probe.build import build
from mmattn.probe.count import count_multiply_adds, count_parameters, counted_size
from mmattn.probe.latency import measure_latency
from mmattn.probe.machine import machine

# Predictions of one image.
_TIMED = 30


def measure(
    config: Path, size: tuple[int, int] | None = None, device: str | None = None
) -> dict[str, Any]:
    """Count and time the model of a config.

    Args:
        config: Config file.
        size: Height and width of the image; None for those of the published count.
        device: ``'cpu'``, ``'cuda'``, or None for a GPU if there is one.

    Returns:
        The columns of the table of costs.

    Raises:
        InputError: If the config cannot be built, or a size has to be given.
    """
    cfg = load_config(str(config))
    size = size or counted_size(cfg)
    if size is None:
        raise InputError('give the height and width of the image in pixels: --shape 224 224')
    try:
        with _silence():
            model = build(cfg)
            parameters = count_parameters(model)
            multiply_adds = count_multiply_adds(model, (1, 3, *size))
            on_gpu = device != 'cpu' and torch.cuda.is_available()
            whole = build(cfg, meta=False).to('cuda' if on_gpu else 'cpu')
            latency = measure_latency(whole, (1, 3, *size), repeats=_TIMED)
    except InputError:
        raise
    except (NotImplementedError, RuntimeError, ValueError, TypeError) as error:
        line = f'{type(error).__name__}: {error}'.splitlines()[0]
        raise InputError(f'an image of {size[0]} x {size[1]} cannot be run: {line}') from error
    return dict(
        parameters=parameters,
        multiply_adds=multiply_adds,
        height=size[0],
        width=size[1],
        latency=latency.median * 1000,
        latency_spread=(latency.upper - latency.lower) * 1000,
        machine=machine(device),
    )


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Leave out what a model tells while it is built: each training has told it."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
