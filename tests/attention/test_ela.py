import pytest
import torch
import torch.nn.functional as F

from mmattn.attention.ela import ELA
from tests.helpers import randomize

SHAPES = [(2, 8, 7, 5), (1, 8, 9, 1), (3, 8, 1, 2), (1, 8, 1, 1)]
# The four versions of the paper at 8 channels, norm groups scaled down.
VERSIONS = {
    'T': dict(kernel_size=5, groups=8, num_groups=8),
    'B': dict(kernel_size=7, num_groups=4),
    'S': dict(kernel_size=5, groups=1, num_groups=4),
    'L': dict(kernel_size=7, groups=2, num_groups=2),
}


def gates(x, p, num_groups):
    """Section 3.2 of the paper, one profile position at a time."""
    h, w = x.shape[2:]

    def gate(z):
        weight = p['conv.weight']
        channels, per_group, k = weight.shape
        groups = channels // per_group
        padded = F.pad(z, [k // 2] * 2)
        y = torch.zeros_like(z)
        for o in range(channels):
            first = o // (channels // groups) * per_group
            for i in range(per_group):
                for j in range(k):
                    y[:, o] += weight[o, i, j] * padded[:, first + i, j : j + z.shape[2]]
        normed = []
        for part in y.chunk(num_groups, 1):
            mean = part.sum((1, 2), keepdim=True) / part[0].numel()
            var = ((part - mean) ** 2).sum((1, 2), keepdim=True) / part[0].numel()
            normed.append((part - mean) / (var + 1e-5) ** 0.5)
        y = torch.cat(normed, 1) * p['gn.weight'][:, None] + p['gn.bias'][:, None]
        return 1 / (1 + torch.exp(-y))

    y_h = gate(torch.einsum('nchw->nch', x) / w)
    y_w = gate(torch.einsum('nchw->ncw', x) / h)
    return {'rows': y_h[..., None], 'columns': y_w[:, :, None]}


def equations(x, p, num_groups):
    y = gates(x, p, num_groups)
    return x * y['rows'] * y['columns']


@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
@pytest.mark.parametrize('version', VERSIONS)
@pytest.mark.parametrize('shape', SHAPES, ids=lambda s: 'x'.join(map(str, s)))
def test_computes_the_equations(shape, version, training):
    options = VERSIONS[version]
    module = randomize(ELA(shape[1], **options)).double().train(training)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    expected = equations(x, module.state_dict(), options['num_groups'])
    out = module(x)
    torch.testing.assert_close(out, expected)
    r = torch.randn_like(out)
    [grad], [expected_grad] = (torch.autograd.grad((y * r).sum(), x) for y in (out, expected))
    torch.testing.assert_close(grad, expected_grad)


def test_tells_its_gates():
    module = randomize(ELA(8, **VERSIONS['L'])).double()
    x = torch.randn(2, 8, 7, 5, dtype=torch.float64)
    got = module.gates(x)
    assert list(got) == ['rows', 'columns']
    torch.testing.assert_close(got, gates(x, module.state_dict(), 2))


def test_defaults_are_the_base_version():
    module = ELA(64)
    shapes = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    assert shapes == {'conv.weight': (64, 1, 7), 'gn.weight': (64,), 'gn.bias': (64,)}
    assert module.gn.num_groups == 16


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(groups=7), 'groups that divides in_channels 48, got 7; 6 works'),
        (dict(num_groups=32), 'num_groups that divides in_channels 48, got 32; 24 works'),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        ELA(48, **options)
