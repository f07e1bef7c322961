"""How long a prediction takes, without any data."""

import time
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import nn

from mmattn.compat import every_submodule_runs
from mmattn.probe.passes import predict


class Latency(NamedTuple):
    """Seconds of one pass, over all repeats: their median and quartiles."""

    median: float
    lower: float
    upper: float


def measure_latency(
    model: nn.Module,
    *shapes: tuple[int, ...],
    amp: bool = False,
    channels_last: bool = False,
    warm_up: int = 5,
    repeats: int = 20,
) -> Latency:
    """Measure how long a prediction takes, from the images on the device to the last layer.

    What runs is what :func:`mmattn.probe.count.count_costs` counts, on random numbers.

    Args:
        model: Module or whole model with its weights on a device, which is put in evaluation mode
            and, if asked for, into another memory format.
        shapes: Shape (N, C, H, W) of each of the maps that it takes, or of the images.
        amp: Whether autocast computes in half precision: float16 on a GPU, bfloat16 on the CPU.
        channels_last: Whether images and weights lie in memory as (N, H, W, C).
        warm_up: Passes ahead of those that are measured.
        repeats: Passes that are measured, one by one; a GPU is waited for each time.
    """
    model.eval()
    device = next((p.device for p in model.parameters()), torch.device('cpu'))
    layout = torch.channels_last if channels_last else torch.contiguous_format
    for parameter in model.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=layout)
    inputs = [torch.rand(s, device=device).contiguous(memory_format=layout) for s in shapes]
    seconds = []
    # Layers in one piece are not those that were counted, and no attention inside them would run.
    with torch.no_grad(), every_submodule_runs(model), _precision(device, amp):
        for _ in range(warm_up + repeats):
            _wait(device)
            start = time.perf_counter()
            predict(model, *inputs)
            _wait(device)
            seconds.append(time.perf_counter() - start)
    fractions = torch.tensor([0.5, 0.25, 0.75], dtype=torch.float64)
    measured = torch.tensor(seconds[warm_up:], dtype=torch.float64)
    return Latency(*measured.quantile(fractions).tolist())


def _precision(device: torch.device, amp: bool) -> AbstractContextManager:
    half = torch.float16 if device.type == 'cuda' else torch.bfloat16
    return torch.autocast(device.type, half) if amp else nullcontext()


def _wait(device: torch.device) -> None:
    if device.type == 'cuda':
        torch.cuda.synchronize()
