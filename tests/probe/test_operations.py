"""Counts by hand, and those of PyTorch's own counter."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmattn.attention import CBAM, ECA, LKA, SE, CoordAtt, SimAM
from mmattn.fusion import AFF
from mmattn.ops.coord_pool import coord_pool
from mmattn.probe.build import meta_device
from mmattn.probe.count import count_costs
from mmattn.probe.operations import Cost


class Apply(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *maps):
        return self.function(*maps)


def cost(module, *shapes):
    total = Cost()
    for each in count_costs(module, *shapes).values():
        total = total.plus(each)
    return total


N, C, H, W = MAP = 2, 6, 5, 7
SIZE = N * C * H * W
ROWS, COLUMNS, CHANNELS = N * C * H, N * C * W, N * C


@pytest.mark.parametrize(
    ('function', 'operations'),
    [
        (torch.sigmoid, SIZE),
        (torch.tanh, SIZE),
        (torch.relu, SIZE),
        (F.relu6, SIZE),
        (F.gelu, SIZE),
        (F.silu, SIZE),
        (F.hardsigmoid, SIZE),
        (F.hardswish, SIZE),
        (torch.sqrt, SIZE),
        (lambda x: x.relu_(), SIZE),
        (lambda x: x * x, SIZE),
        (lambda x: x + x, SIZE),
        (lambda x: x * x.mean((2, 3), keepdim=True), SIZE + SIZE),
        (lambda x: x.mean(3, keepdim=True), SIZE),
        (lambda x: x.amax((2, 3)), SIZE),
        (lambda x: x.max(1).values, SIZE),
        (lambda x: x.sum(1), SIZE),
        # Mean, difference, square, sum of the squares.
        (lambda x: x.var((2, 3)), 4 * SIZE),
        # Largest, difference, exponential, sum, quotient.
        (lambda x: x.softmax(1), 5 * SIZE),
        (lambda x: F.adaptive_avg_pool2d(x, 1), SIZE),
        (lambda x: F.adaptive_max_pool2d(x, 1), SIZE),
        # Rows 0-2 and 2-4 of five, columns 0-2, 2-4 and 4-6 of seven.
        (lambda x: F.adaptive_avg_pool2d(x, (2, 3)), CHANNELS * (3 + 3) * (3 + 3 + 3)),
        # Windows of 3 x 2, three by three of them.
        (lambda x: F.avg_pool2d(x, (3, 2), (1, 2)), CHANNELS * 3 * 3 * 6),
        (lambda x: F.max_pool2d(x, 2), CHANNELS * 2 * 3 * 4),
        (lambda x: F.interpolate(x, scale_factor=2, mode='nearest'), 0),
        # Four products and three sums.
        (lambda x: F.interpolate(x, scale_factor=2, mode='bilinear'), 4 * SIZE * 7),
        (lambda x: F.interpolate(x, scale_factor=2, mode='bicubic'), 4 * SIZE * 31),
        # What only moves numbers is free.
        (lambda x: torch.cat([x, x]).flatten(2).transpose(1, 2).contiguous(), 0),
        (lambda x: F.pad(x, (1, 1)).chunk(2, 1)[0].expand(2, 3, 5, 9).clone(), 0),
        # coord_pool: the mean of each row and of each column.
        (coord_pool, 2 * SIZE),
        # What has no rule of its own is not left out.
        (lambda x: torch.special.bessel_j0(x), SIZE),
    ],
)
def test_operations_of_gates(function, operations):
    assert cost(Apply(function), MAP) == Cost(0, operations, 0)


@pytest.mark.parametrize(
    ('norm', 'operations'),
    [
        # One factor and one summand for a channel.
        (nn.BatchNorm2d(C), 2 * SIZE),
        (nn.BatchNorm2d(C, affine=False), 2 * SIZE),
        # Statistics, two for the norm, two for the affine map.
        (nn.GroupNorm(2, C), 8 * SIZE),
        (nn.LayerNorm(W), 8 * SIZE),
        (nn.LayerNorm(W, elementwise_affine=False), 6 * SIZE),
        (nn.InstanceNorm2d(C), 6 * SIZE),
    ],
    ids=str,
)
def test_norms(norm, operations):
    assert cost(norm.to('meta'), MAP) == Cost(0, operations, 0)


def test_products_come_with_biases_and_what_they_give():
    """A bias is no multiply-add, as in the papers."""
    conv = nn.Conv2d(C, 4, 3, padding=1, groups=2).to('meta')
    out = N * 4 * H * W
    assert cost(conv, MAP) == Cost(out * 3 * 9, out, out)
    linear = nn.Linear(W, 3).to('meta')
    out = N * C * H * 3
    assert cost(linear, MAP) == Cost(out * W, out, out)
    plain = nn.Linear(W, 3, bias=False).to('meta')
    assert cost(plain, MAP) == Cost(out * W, 0, out)


def test_squeeze_and_excitation():
    with meta_device():
        module = SE(8, reduction=4)
    # Means; the two layers with their biases; ReLU; sigmoid; product.
    operations = 8 * 35 + (2 + 8) + 2 + 8 + 8 * 35
    assert cost(module, (1, 8, 5, 7)) == Cost(2 * 8 * 2, operations, 2 + 8)


def test_efficient_channel_attention():
    with meta_device():
        module = ECA(8, kernel_size=3)
    # Means; sigmoid; product.
    assert cost(module, (1, 8, 5, 7)) == Cost(8 * 3, 8 * 35 + 8 + 8 * 35, 8)


def test_large_kernel_attention():
    with meta_device():
        module = LKA(8)
    size = 8 * 35
    # Kernels of 5, 7 and 1, the first two depthwise; three biases; the product.
    multiply_adds = size * (25 + 49 + 8)
    assert cost(module, (1, 8, 5, 7)) == Cost(multiply_adds, 3 * size + size, 3 * size)


def test_coordinate_attention():
    with meta_device():
        module = CoordAtt(16, reduction=2)
    size, positions = 16 * 35, 5 + 7
    squeezed, gates = 8 * positions, 16 * positions
    # Means of rows and columns; bias, norm and hard swish; biases and sigmoids; two products.
    operations = 2 * size + squeezed * (1 + 2 + 1) + gates * (1 + 1) + 2 * size
    multiply_adds = squeezed * 16 + gates * 8
    assert cost(module, (1, 16, 5, 7)) == Cost(multiply_adds, operations, squeezed + gates)


class Everything(nn.Module):
    """All kinds of products."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 3, stride=2, padding=2, dilation=2)
        self.grouped = nn.Conv2d(8, 8, (1, 5), groups=4, bias=False)
        self.transposed = nn.ConvTranspose2d(8, 6, 3, stride=2, groups=2)
        self.line = nn.Conv1d(6, 6, 3)
        self.linear = nn.Linear(6, 12)
        self.attention = nn.MultiheadAttention(12, 3, batch_first=True)

    def forward(self, x):
        x = self.transposed(self.grouped(self.conv(x)))
        x = self.linear(self.line(x.flatten(2)).transpose(1, 2))
        x = self.attention(x, x, x)[0]
        x = F.scaled_dot_product_attention(x[:, None], x[:, None], x[:, None])[:, 0]
        return torch.einsum('nlc,nmc->nlm', x, x), torch.baddbmm(x, x @ x.transpose(1, 2), x)


@pytest.mark.parametrize('kind', [Everything, CBAM, CoordAtt, SimAM, AFF])
def test_products_are_those_of_the_counter_of_pytorch(kind):
    with meta_device():
        module = (kind() if kind is Everything else kind(32)).eval()
    maps = [(2, 4, 23, 30)] if kind is Everything else [(2, 32, 23, 30)] * (1 + (kind is AFF))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(*(torch.empty(shape, device='meta') for shape in maps))
    assert cost(module, *maps).multiply_adds * 2 == counter.get_total_flops()
    assert cost(module, *maps).operations > 0


def test_each_module_has_what_it_computes_itself():
    """Through ``forward`` without a call, too, as heads of mmseg are run."""

    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 1, bias=False)

        def forward(self, x):
            return self.conv(x).relu()

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = Head()

        def forward(self, x):
            return self.head.forward(x) + self.head(x)

    model = Model().to('meta')
    out = 2 * 5 * 7
    assert count_costs(model, (1, 3, 5, 7)) == {
        '': Cost(0, out, 0),
        'head': Cost(0, 2 * out, 0),
        'head.conv': Cost(2 * out * 3, 0, 2 * out),
    }
    assert 'forward' not in vars(model.head)
