"""Bytes that are moved and kept, by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmattn.probe.memory import count_training_memory
from mmattn.probe.traffic import Traffic, count_kept_bytes, count_traffic

N, C, H, W = 2, 6, 5, 7
SIZE = N * C * H * W
MAP = 4 * SIZE
HALF = 2 * SIZE
CHANNELS = 4 * N * C


def image():
    torch.manual_seed(0)
    return torch.rand(N, C, H, W)


@pytest.mark.parametrize(
    ('function', 'read', 'written', 'operations'),
    [
        (torch.sigmoid, MAP, MAP, 1),
        # What works in place reads and writes once.
        (lambda x: x.relu_(), MAP, MAP, 1),
        (lambda x: x.add_(1), MAP, MAP, 1),
        # A tensor that is given twice is read once.
        (lambda x: x * x, MAP, MAP, 1),
        (lambda x: x * x.sigmoid(), MAP + 2 * MAP, 2 * MAP, 2),
        # Views, shapes and memory without values are free.
        (lambda x: x.flatten(2).transpose(1, 2).unsqueeze(0).expand(3, -1, -1, -1), 0, 0, 0),
        (lambda x: torch.empty_like(x), 0, 0, 0),
        (lambda x: x.detach()[:, :3], 0, 0, 0),
        # Half a map is half a map.
        (lambda x: x[:, :3] + 1, MAP // 2, MAP // 2, 1),
        (lambda x: x.transpose(1, 3).contiguous(), MAP, MAP, 1),
        (lambda x: x.half(), MAP, HALF, 1),
        (lambda x: x.mean((2, 3), keepdim=True), MAP, CHANNELS, 1),
        # An expanded axis is read once.
        (lambda x: x + x[:, :, :1, :1].expand_as(x), MAP + CHANNELS, MAP, 1),
        (lambda x: torch.cat([x, x[:, :2]], 1), MAP + MAP // 3, MAP + MAP // 3, 1),
        # The indices are eight bytes each.
        (lambda x: x.max(1).values, MAP, 3 * MAP // C, 1),
        (lambda x: x.amax(1), MAP, MAP // C, 1),
        # What gets new values is not read.
        (lambda x: x.zero_(), 0, MAP, 1),
        (lambda x: torch.empty_like(x).copy_(x), MAP, MAP, 1),
        (lambda x: torch.sigmoid(x, out=torch.empty_like(x)), MAP, MAP, 1),
        (lambda x: torch.zeros(3), 0, 12, 1),
        (lambda x: torch._foreach_add_([x, x[:1, :1, :1, :1].clone()], 1), MAP + 8, MAP + 8, 2),
        (lambda x: F.conv2d(x, x[:, :, :1, :1]), MAP + CHANNELS, 4 * N * N * H * W, 1),
    ],
)
def test_forward(function, read, written, operations):
    assert count_traffic(function, image()) == Traffic(read, written, operations)


def test_batch_norm():
    """Read: map, weight, bias, both statistics; written: map, mean, deviation."""
    norm = nn.BatchNorm2d(C)
    norm.num_batches_tracked = None
    assert count_traffic(norm, image()) == Traffic(MAP + 16 * C, MAP + 8 * C, 1)


@pytest.mark.parametrize(
    ('function', 'read', 'written', 'operations'),
    [
        # Back: the gradient and the result are read, the other gradient written.
        (torch.sigmoid, MAP + 2 * MAP, MAP + MAP, 2),
        # The gradient of a leaf is written out, even where it is one number.
        (lambda x: x.sum(), MAP + 4, 4 + MAP, 2),
        # Each factor times the gradient, and their sum.
        (lambda x: x * x.sigmoid(), 3 * MAP + 4 * MAP + 2 * MAP + 2 * MAP, 2 * MAP + 4 * MAP, 6),
    ],
)
def test_backward(function, read, written, operations):
    counted = count_traffic(function, image(), backward=True)
    assert counted == Traffic(read, written, operations)


def test_a_convolution_goes_back_in_one_operation():
    conv = nn.Conv2d(C, C, 1, bias=False)
    weight = 4 * C * C
    forward = Traffic(MAP + weight, MAP, 1)
    backward = Traffic(2 * MAP + weight, MAP + weight, 1)
    assert count_traffic(conv, image()) == forward
    # A second time there are no gradients to add to.
    for _ in range(2):
        assert count_traffic(conv, image(), backward=True) == forward.plus(backward)
    assert conv.weight.grad is None


def test_autocast_casts_weights():
    conv = nn.Conv2d(C, C, 1, bias=False)
    weight = 4 * C * C
    x = image().bfloat16()
    cast = Traffic(weight, weight // 2, 1)
    counted = count_traffic(conv, x, dtype=torch.bfloat16)
    assert counted == cast.plus(Traffic(HALF + weight // 2, HALF, 1))


def test_what_is_counted_is_left_alone():
    x = image()
    before = x.clone()
    count_traffic(torch.sigmoid, x, backward=True)
    assert torch.equal(x, before)
    assert not x.requires_grad
    assert x.grad is None


def test_where_nothing_goes_back():
    with pytest.raises(ValueError, match='expected a result with a gradient'):
        count_traffic(lambda x: x.detach(), image(), backward=True)


class Gate(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(C, C, 1)

    def forward(self, x):
        return x * self.conv(x).sigmoid()


@pytest.mark.parametrize(
    ('function', 'kept'),
    [
        (torch.sigmoid, MAP),
        (torch.relu, MAP),
        (lambda x: x + 1, 0),
        (lambda x: x * x.mean((2, 3), keepdim=True), MAP + CHANNELS),
        # A view of what is kept is kept with it.
        (lambda x: x * x.flatten(2).transpose(1, 2).mT.unflatten(2, (H, W)), MAP),
        # The whole storage stays for a part of it.
        (lambda x: x[:, :1].square(), MAP),
        # The map and its gate; the convolution keeps the map as well, and its weight is there.
        (Gate(), 2 * MAP),
    ],
)
def test_kept(function, kept):
    assert count_kept_bytes(function, image()) == kept


def test_kept_under_autocast():
    """The map, the gate, and the copy of the weight."""
    x = image().bfloat16()
    assert count_kept_bytes(Gate(), x, dtype=torch.bfloat16) == 2 * HALF + 2 * C * C


def test_kept_is_what_a_model_is_said_to_keep():
    kept, _ = count_training_memory(Gate().to('meta'), (N, C, H, W))
    assert sum(kept.values()) == count_kept_bytes(Gate(), image())
