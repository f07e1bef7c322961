import math

import pytest
import torch
import torch.nn.functional as F

from mmattn.attention.mixed_pooling import MixedPooling
from tests.helpers import randomize

SHAPES = [(2, 8, 7, 5), (1, 4, 9, 2), (3, 4, 1, 2), (2, 4, 1, 1)]


def equations(x, p, pool_size, training):
    """Section 3.2 of the paper with the release's layers; pools and upsampling cell by cell."""
    h, w = x.shape[2:]

    def layer(x, name):
        weight = p[f'{name}.0.weight']
        rows, columns = weight.shape[2:]
        padded = F.pad(x, [columns // 2] * 2 + [rows // 2] * 2)
        height, width = x.shape[2:]
        y = sum(
            torch.einsum(
                'oc,nchw->nohw', weight[..., i, j], padded[..., i : i + height, j : j + width]
            )
            for i in range(rows)
            for j in range(columns)
        )
        mean, var = p[f'{name}.1.running_mean'], p[f'{name}.1.running_var']
        if training:
            mean = y.mean((0, 2, 3))
            var = ((y - mean[:, None, None]) ** 2).mean((0, 2, 3))
        y = (y - mean[:, None, None]) / (var[:, None, None] + 1e-5) ** 0.5
        return y * p[f'{name}.1.weight'][:, None, None] + p[f'{name}.1.bias'][:, None, None]

    def relu(x):
        return x * (x > 0)

    def pool(x, size):
        def cells(length):
            return [
                slice(math.floor(i * length / size), math.ceil((i + 1) * length / size))
                for i in range(size)
            ]

        rows = [[x[..., r, c].mean((2, 3)) for c in cells(w)] for r in cells(h)]
        return torch.stack([torch.stack(row, -1) for row in rows], -2)

    def line(x, length, dim):
        """Interpolate along one axis, the first and the last samples at the ends."""
        last = x.shape[dim] - 1
        out = []
        for i in range(length):
            at = i * last / (length - 1) if length > 1 else 0
            low = min(math.floor(at), max(last - 1, 0))
            high = min(low + 1, last)
            t = at - low
            out.append((1 - t) * x.select(dim, low) + t * x.select(dim, high))
        return torch.stack(out, dim)

    x1, x2 = relu(layer(x, 'conv1_1')), relu(layer(x, 'conv1_2'))
    square = layer(x1, 'conv2_0')
    for size, name in zip(pool_size, ('conv2_1', 'conv2_2'), strict=True):
        square = square + line(line(layer(pool(x1, size), name), h, 2), w, 3)
    columns = layer(x2.sum(2, keepdim=True) / h, 'conv2_3')
    rows = layer(x2.sum(3, keepdim=True) / w, 'conv2_4')
    square = relu(layer(relu(square), 'conv2_5'))
    strips = relu(layer(relu(rows + columns), 'conv2_6'))
    return relu(x + layer(torch.cat([square, strips], 1), 'conv3'))


@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
@pytest.mark.parametrize('shape', SHAPES, ids=lambda s: 'x'.join(map(str, s)))
def test_computes_the_equations(shape, training):
    pool_size = (4, 3)
    module = randomize(MixedPooling(shape[1], pool_size=pool_size)).double().train(training)
    p = {key: value.clone() for key, value in module.state_dict().items()}
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    expected, out = equations(x, p, pool_size, training), module(x)
    torch.testing.assert_close(out, expected)
    r = torch.randn_like(out)
    [grad], [expected_grad] = (torch.autograd.grad((y * r).sum(), x) for y in (out, expected))
    torch.testing.assert_close(grad, expected_grad)


def test_default_grids_are_the_papers():
    assert MixedPooling(4).pool_size == (20, 12)


def test_key_names():
    bn = ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked')
    convs = ['conv1_1', 'conv1_2', *(f'conv2_{i}' for i in range(7)), 'conv3']
    names = [f'{conv}.{key}' for conv in convs for key in ('0.weight', *(f'1.{k}' for k in bn))]
    assert list(MixedPooling(8).state_dict()) == names


@pytest.mark.parametrize(('in_channels', 'works'), [(1, 4), (5, 4), (6, 8), (63, 64)])
def test_channels_that_have_no_quarter(in_channels, works):
    with pytest.raises(ValueError, match=f'divisible by 4, got {in_channels}; {works} works'):
        MixedPooling(in_channels)


def test_rows_and_columns_whose_sum_overflows_half_precision():
    module = randomize(MixedPooling(8)).eval()
    for strip in (module.conv2_3, module.conv2_4):
        torch.nn.init.constant_(strip[1].bias, 4e4)
    assert module.half()(torch.randn(2, 8, 6, 5).half()).isfinite().all()


def test_trains_on_a_single_pixel():
    module = randomize(MixedPooling(8, pool_size=(1, 1)))
    x = torch.randn(1, 8, 1, 1)
    expected = module.eval()(x)
    assert expected.any()
    torch.testing.assert_close(module.train()(x), expected)
