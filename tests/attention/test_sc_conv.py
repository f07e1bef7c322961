import pytest
import torch
import torch.nn.functional as F

from mmattn.attention.sc_conv import SCConv
from tests.helpers import needs_torch, randomize


def batch_norm(x, p, name, training):
    n, _, h, w = x.shape
    if training and n * h * w > 1:
        mean = torch.einsum('nchw->c', x) / (n * h * w)
        var = torch.einsum('nchw->c', (x - mean[:, None, None]) ** 2) / (n * h * w)
    else:
        mean, var = p[f'{name}.running_mean'], p[f'{name}.running_var']
    scale = p[f'{name}.weight'] / torch.sqrt(var + 1e-5)
    return x * scale[:, None, None] + (p[f'{name}.bias'] - mean * scale)[:, None, None]


def conv(x, weight):
    """A 3x3 convolution as a sum of shifted maps."""
    h, w = x.shape[2:]
    padded = F.pad(x, [1] * 4)
    return sum(
        torch.einsum('oc,nchw->nohw', weight[..., i, j], padded[..., i : i + h, j : j + w])
        for i in range(3)
        for j in range(3)
    )


def pool(x, r):
    """Mean of each whole cell; a side shorter than a cell is one cell."""
    h, w = x.shape[2:]
    r_h, r_w = min(r, h), min(r, w)
    rows = [
        [
            torch.einsum('ncij->nc', x[..., i : i + r_h, j : j + r_w]) / (r_h * r_w)
            for j in range(0, w - r_w + 1, r_w)
        ]
        for i in range(0, h - r_h + 1, r_h)
    ]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def gate(x, p, r, training):
    """The gate of the paper, enlarged by the nearest neighbour as in the release."""
    h, w = x.shape[2:]
    coarse = batch_norm(conv(pool(x, r), p['k2.1.weight']), p, 'k2.2', training)
    rows = [i * coarse.shape[2] // h for i in range(h)]
    columns = [j * coarse.shape[3] // w for j in range(w)]
    return 1 / (1 + torch.exp(-x - coarse[:, :, rows][..., columns]))


def equations(x, p, r, training):
    """What the paper computes."""
    y = batch_norm(conv(x, p['k3.0.weight']), p, 'k3.1', training) * gate(x, p, r, training)
    return batch_norm(conv(y, p['k4.0.weight']), p, 'k4.1', training)


@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
@pytest.mark.parametrize(
    ('shape', 'r'),
    [
        ((2, 6, 13, 10), 4),
        ((1, 5, 9, 8), 2),
        ((2, 3, 3, 7), 4),
        ((1, 4, 2, 1), 4),
        ((1, 4, 1, 1), 3),
    ],
    ids=str,
)
def test_computes_the_equations(shape, r, training):
    module = randomize(SCConv(shape[1], pooling_r=r)).double().train(training)
    p = {key: value.clone() for key, value in module.state_dict().items()}
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    out, expected = module(x), equations(x, p, r, training)
    torch.testing.assert_close(out, expected)
    r = torch.randn_like(out)
    [grad], [expected_grad] = (torch.autograd.grad((y * r).sum(), x) for y in (out, expected))
    torch.testing.assert_close(grad, expected_grad)


def test_tells_its_gate():
    module = randomize(SCConv(6)).double().eval()
    x = torch.randn(2, 6, 13, 10, dtype=torch.float64)
    [(name, got)] = module.gates(x).items()
    assert name == 'spatial'
    torch.testing.assert_close(got, gate(x, module.state_dict(), 4, False))


@needs_torch('2.5', 'torch.export of free sizes')
def test_exports_with_free_sizes():
    module = randomize(SCConv(3)).eval()
    sizes = {axis: torch.export.Dim(name, min=8) for axis, name in ((2, 'h'), (3, 'w'))}
    program = torch.export.export(module, (torch.randn(2, 3, 12, 10),), dynamic_shapes=(sizes,))
    x = torch.randn(2, 3, 9, 17)
    torch.testing.assert_close(program.module()(x), module(x))


def test_key_names():
    names = [
        f'{name}.{first + index}'
        for name, first in (('k2', 1), ('k3', 0), ('k4', 0))
        for index in (0, 1)
    ]
    keys = [key for key in SCConv(4).state_dict() if not key.endswith('num_batches_tracked')]
    assert keys == [
        f'{name}.{tensor}'
        for conv, norm in zip(names[::2], names[1::2], strict=True)
        for name, tensors in (
            (conv, ['weight']),
            (norm, ['weight', 'bias', 'running_mean', 'running_var']),
        )
        for tensor in tensors
    ]


def test_norm_cfg():
    norm_cfg = dict(type='GN', num_groups=2)
    module = SCConv(4, norm_cfg=norm_cfg)
    assert norm_cfg == dict(type='GN', num_groups=2)
    assert [m.num_groups for m in module.modules() if isinstance(m, torch.nn.GroupNorm)] == [2] * 3


def test_pooled_branch_is_computed_in_float32():
    module = SCConv(8).eval().half()
    seen = []
    module.k2.register_forward_hook(lambda layer, args, out: seen.append(out.dtype))
    assert module(torch.randn(1, 8, 8, 8).half()).dtype == torch.float16
    assert seen == [torch.float32]


def test_logits_that_overflow_open_and_close_the_gate():
    module = SCConv(8, pooling_r=1).eval()
    torch.nn.init.zeros_(module.k2[1].weight)
    torch.nn.init.constant_(module.k2[2].bias, 6e4)
    x = torch.full((1, 8, 8, 8), 6e4).half().requires_grad_()
    out = module.half()(x)
    # An open gate leaves the rest.
    assert torch.equal(out, module.k4(module.k3(x)))
    out.sum().backward()
    assert x.grad.isfinite().all()
