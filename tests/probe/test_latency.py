"""What is run how often and how; how long it takes, nobody asks here."""

import pytest
import torch
from torch import nn

from mmattn.probe.latency import measure_latency


class Watched(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.seen = []

    def forward(self, x):
        out = self.conv(x)
        self.seen.append((tuple(x.shape), x, out, self.training, torch.is_grad_enabled()))
        return out


def test_runs_the_passes_that_it_measures_and_those_ahead():
    model = Watched()
    latency = measure_latency(model, (2, 3, 8, 9), warm_up=2, repeats=5)
    assert [seen[0] for seen in model.seen] == [(2, 3, 8, 9)] * 7
    assert not any(training or grad for *_, training, grad in model.seen)
    assert 0 < latency.lower <= latency.median <= latency.upper


def test_median_and_quartiles(monkeypatch):
    """Of passes that take 1 to 5 seconds, behind one of 100 that does not count."""
    times = iter([0, 100, 0, 5, 0, 1, 0, 4, 0, 2, 0, 3])
    monkeypatch.setattr('mmattn.probe.latency.time.perf_counter', lambda: next(times))
    latency = measure_latency(Watched(), (1, 3, 8, 9), warm_up=1, repeats=5)
    assert latency == (3, 2, 4)


@pytest.mark.parametrize('amp', [False, True])
@pytest.mark.parametrize('channels_last', [False, True])
def test_precision_and_memory_format(amp, channels_last):
    model = Watched()
    measure_latency(model, (2, 3, 8, 9), amp=amp, channels_last=channels_last, warm_up=0, repeats=1)
    [(_, x, out, _, _)] = model.seen
    assert out.dtype == (torch.bfloat16 if amp else torch.float32)
    for tensor in (x, model.conv.weight):
        assert tensor.is_contiguous(memory_format=torch.channels_last) == channels_last
