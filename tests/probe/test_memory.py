"""Bytes by hand, and those of real tensors."""

import copy

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from mmattn.probe.build import meta_device
from mmattn.probe.memory import count_training_memory
from tests.helpers import needs_torch

N, C, H, W = 2, 3, 5, 7
FLOAT = 4


class Chain(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(C, 4, 3, padding=1)
        self.relu = nn.ReLU()
        self.last = nn.Conv2d(4, 2, 1)

    def forward(self, x):
        return self.last(self.relu(self.first(x)))


IMAGE, INNER = (N * channels * H * W * FLOAT for channels in (C, 4))
PARAMETERS = [(4 * C * 9 + 4) * FLOAT, (2 * 4 + 2) * FLOAT]


def test_what_is_kept():
    """The map between ReLU and the last convolution is kept by both, but it is one."""
    kept, _ = count_training_memory(Chain().to('meta'), (N, C, H, W))
    assert kept == {'first': IMAGE, 'relu': INNER}


def test_the_peak_is_where_relu_goes_back():
    """There are its output, both gradients, those of the last convolution, and two numbers: the
    loss and its gradient.
    """
    _, peak = count_training_memory(Chain().to('meta'), (N, C, H, W))
    assert peak == sum(PARAMETERS) + IMAGE + 3 * INNER + PARAMETERS[1] + 2 * FLOAT


def test_a_frozen_network_keeps_nothing():
    model = Chain().to('meta').requires_grad_(False)
    kept, peak = count_training_memory(model, (N, C, H, W))
    assert kept == {}
    # The two maps around ReLU.
    assert peak == sum(PARAMETERS) + IMAGE + 2 * INNER


class Gate(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(C)

    def forward(self, x):
        y = self.norm(x)
        return y * y.mean((2, 3), keepdim=True).sigmoid()


def test_what_a_gate_and_a_norm_keep():
    """The input, a mean and a deviation for a channel; the map and its gate."""
    kept, _ = count_training_memory(Gate().to('meta'), (N, C, H, W))
    assert kept == {'norm': IMAGE + 2 * C * FLOAT, '': IMAGE + N * C * FLOAT}


class Deep(nn.Module):
    def __init__(self):
        super().__init__()
        layers = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.Hardswish()]
        layers += [nn.Conv2d(16, 16, 3, groups=16), nn.GELU(), nn.Dropout(0.1), nn.Conv2d(16, 8, 1)]
        self.layers = nn.Sequential(*layers)
        self.norm = nn.LayerNorm(8)

    def forward(self, x):
        x = self.layers(x).flatten(2).transpose(1, 2)
        x = self.norm(x)
        return x @ x.transpose(1, 2).softmax(1)


def test_kept_are_the_bytes_of_real_tensors():
    model = Deep()
    with meta_device():
        twin = Deep()
    kept, _ = count_training_memory(twin, (2, 3, 12, 10))
    own = {p.untyped_storage().data_ptr() for p in (*model.parameters(), *model.buffers())}
    found = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = model(torch.rand(2, 3, 12, 10)).sum()
    assert sum(t.untyped_storage().nbytes() for t in found.values()) == sum(kept.values())
    assert out.requires_grad


class Recomputed(nn.Module):
    def __init__(self):
        super().__init__()
        self.chain = Chain()

    def forward(self, x):
        return checkpoint(self.chain, x, use_reentrant=True)


# PyTorch 2.1 knows no checkpoints on the meta device, which the command then says.
@needs_torch('2.6', 'a checkpoint on the meta device')
def test_of_what_is_computed_again_the_input_is_kept():
    model = nn.Sequential(nn.Conv2d(C, C, 1, bias=False), Recomputed()).to('meta')
    kept, _ = count_training_memory(model, (N, C, H, W))
    assert kept == {'0': IMAGE, '1': IMAGE}


@pytest.mark.parametrize('kind', [Chain, Gate, Deep])
def test_leaves_the_model_without_gradients(kind):
    with meta_device():
        model = kind()
    before = copy.deepcopy(vars(model))
    count_training_memory(model, (N, C, H, W))
    assert all(p.grad is None for p in model.parameters())
    assert vars(model).keys() == before.keys()
