import pytest
import torch

from mmattn import CoordAtt, CoordAttMobileNetV2
from tests.helpers import randomize

SHAPES = [(2, 16, 7, 5), (1, 64, 9, 13), (3, 300, 4, 4), (1, 8, 1, 6), (2, 24, 1, 1)]


def gates(x, p, training):
    """Equations 4 to 7 of the paper, one position of the two profiles at a time."""
    *_, h, w = x.shape
    z_h = torch.einsum('nchw->nch', x) / w
    z_w = torch.einsum('nchw->ncw', x) / h
    z = torch.cat([z_h, z_w], 2)
    f = torch.einsum('mc,ncl->nml', p['conv1.weight'][:, :, 0, 0], z) + p['conv1.bias'][:, None]
    if training:
        mean = f.mean((0, 2))
        var = ((f - mean[:, None]) ** 2).mean((0, 2))
    else:
        mean, var = p['bn1.running_mean'], p['bn1.running_var']
    f = (f - mean[:, None]) / torch.sqrt(var[:, None] + 1e-5)
    f = f * p['bn1.weight'][:, None] + p['bn1.bias'][:, None]
    f = f * (f + 3).clamp(0, 6) / 6
    g = {}
    for name, part in (('conv_h', f[..., :h]), ('conv_w', f[..., h:])):
        g[name] = torch.einsum('cm,nml->ncl', p[f'{name}.weight'][:, :, 0, 0], part)
        g[name] = 1 / (1 + torch.exp(-g[name] - p[f'{name}.bias'][:, None]))
    return {'rows': g['conv_h'][..., :, None], 'columns': g['conv_w'][..., None, :]}


def equations(x, p, training):
    g = gates(x, p, training)
    return x * g['rows'] * g['columns']


@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
@pytest.mark.parametrize('shape', SHAPES, ids=lambda s: 'x'.join(map(str, s)))
def test_computes_the_equations(shape, training):
    module = randomize(CoordAtt(shape[1], reduction=4)).double().train(training)
    p = {key: value.clone() for key, value in module.state_dict().items()}
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    expected, out = equations(x, p, training), module(x)
    torch.testing.assert_close(out, expected)
    r = torch.randn_like(out)
    [grad], [expected_grad] = (torch.autograd.grad((y * r).sum(), x) for y in (out, expected))
    torch.testing.assert_close(grad, expected_grad)


def test_tells_its_gates():
    module = randomize(CoordAtt(16, reduction=4)).double().eval()
    x = torch.randn(2, 16, 7, 5, dtype=torch.float64)
    got = module.gates(x)
    assert list(got) == ['rows', 'columns']
    torch.testing.assert_close(got, gates(x, module.state_dict(), False))


@pytest.mark.parametrize(('direction', 'name'), [('h', 'rows'), ('w', 'columns')])
def test_tells_the_gate_of_one_direction(direction, name):
    module = randomize(CoordAtt(16, reduction=4, direction=direction)).double().eval()
    x = torch.randn(2, 16, 7, 5, dtype=torch.float64)
    [(got, gate)] = module.gates(x).items()
    assert got == name
    expected = one_direction(x, module.state_dict(), direction, False) / x
    torch.testing.assert_close(gate.expand_as(x), expected)


@pytest.mark.parametrize(
    ('in_channels', 'reduction', 'bottleneck'),
    [(64, 32, 8), (256, 32, 8), (320, 32, 10), (960, 32, 30), (960, 16, 60), (7, 1, 8)],
)
def test_bottleneck(in_channels, reduction, bottleneck):
    module = CoordAtt(in_channels, reduction=reduction)
    assert module.conv1.out_channels == bottleneck
    c, m = in_channels, bottleneck
    parameters = sum(p.numel() for p in module.parameters())
    assert parameters == c * m + m + 2 * m + 2 * (m * c + c)


@pytest.mark.parametrize('names', [('conv_h', 'conv_w'), ('conv2', 'conv3')], ids='-'.join)
def test_takes_both_released_spellings(names):
    module = randomize(CoordAtt(16))
    released = {
        key.replace('conv_h', names[0]).replace('conv_w', names[1]): value
        for key, value in module.state_dict().items()
    }
    other = CoordAtt(16)
    other.load_state_dict(released, strict=True)
    x = torch.randn(2, 16, 6, 5)
    assert torch.equal(other.eval()(x), module.eval()(x))


def test_key_names():
    convs = [
        f'{conv}.{kind}' for conv in ('conv1', 'conv_h', 'conv_w') for kind in ('weight', 'bias')
    ]
    assert [key for key in CoordAtt(16).state_dict() if 'bn1' not in key] == convs


def one_direction(x, p, direction, training):
    """One of the two profiles alone through equations 4 to 7."""
    *_, h, w = x.shape
    z = torch.einsum('nchw->nch', x) / w if direction == 'h' else torch.einsum('nchw->ncw', x) / h
    f = torch.einsum('mc,ncl->nml', p['conv1.weight'][:, :, 0, 0], z) + p['conv1.bias'][:, None]
    mean, var = p['bn1.running_mean'], p['bn1.running_var']
    # A single value has no statistics of its own.
    if training and f.shape[0] * f.shape[2] > 1:
        mean = f.mean((0, 2))
        var = ((f - mean[:, None]) ** 2).mean((0, 2))
    f = (f - mean[:, None]) / torch.sqrt(var[:, None] + 1e-5)
    f = f * p['bn1.weight'][:, None] + p['bn1.bias'][:, None]
    f = f * (f + 3).clamp(0, 6) / 6
    g = torch.einsum('cm,nml->ncl', p[f'conv_{direction}.weight'][:, :, 0, 0], f)
    g = 1 / (1 + torch.exp(-g - p[f'conv_{direction}.bias'][:, None]))
    return torch.einsum(f'nchw,nc{direction}->nchw', x, g)


@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
@pytest.mark.parametrize('shape', [*SHAPES, (1, 8, 1, 1)], ids=lambda s: 'x'.join(map(str, s)))
@pytest.mark.parametrize('direction', ['h', 'w'])
def test_computes_one_direction(direction, shape, training):
    module = randomize(CoordAtt(shape[1], reduction=4, direction=direction)).double()
    module.train(training)
    p = {key: value.clone() for key, value in module.state_dict().items()}
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    expected, out = one_direction(x, p, direction, training), module(x)
    torch.testing.assert_close(out, expected)
    r = torch.randn_like(out)
    parameters = dict(module.named_parameters())
    [grad, *grads] = torch.autograd.grad((out * r).sum(), [x, *parameters.values()])
    [expected_grad] = torch.autograd.grad((expected * r).sum(), x)
    torch.testing.assert_close(grad, expected_grad)
    # No dead parameters; autograd.grad has raised an error otherwise.
    assert len(grads) == len(parameters) == 6


# The paper's ablation: 3.89 M with the classifier of 1000 classes.
@pytest.mark.parametrize('direction', ['h', 'w'])
def test_parameters_of_one_direction_in_mobilenet_v2(direction):
    attention = dict(type='CoordAtt', reduction=24, direction=direction)
    model = CoordAttMobileNetV2(attention=attention, out_indices=(7,))
    count = sum(p.numel() for p in model.parameters()) + 1280 * 1000 + 1000
    assert round(count / 1e6, 3) == 3.891
