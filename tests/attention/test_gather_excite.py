import pytest
import torch
from timm.layers import GatherExcite as TimmGatherExcite

from mmattn.attention.gather_excite import GatherExcite
from tests.helpers import needs_torch, randomize

SHAPES = [(2, 8, 16, 16), (3, 12, 7, 5), (2, 4, 1, 9), (2, 4, 1, 1)]


def pooled(x, extent):
    """Equation 1 of the paper, cell by cell: the mean of what is less than ``extent`` away."""
    h, w = x.shape[2:]
    if extent == 0:
        return torch.einsum('nchw->nc', x)[..., None, None] / (h * w)
    cells = []
    for i in range(0, h, extent):
        row = []
        for j in range(0, w, extent):
            near = x[:, :, max(0, i - extent + 1) : i + extent, max(0, j - extent + 1) : j + extent]
            row.append(torch.einsum('nchw->nc', near) / (near.shape[2] * near.shape[3]))
        cells.append(torch.stack(row, -1))
    return torch.stack(cells, 2)


def convolved(x, p, extent, training, mlp):
    """Depthwise convolutions with batch norms, output pixel by output pixel."""
    steps = [2] * (extent.bit_length() - 1) if extent else [None]
    for number, step in enumerate(steps, 1):
        n, c, h, w = x.shape
        weight = p[f'gather.conv{number}.weight'][:, 0]
        if step is None:
            f = torch.einsum('nchw,chw->nc', x, weight)[..., None, None]
        else:
            columns = []
            for i in range(0, h, 2):
                for j in range(0, w, 2):
                    total = x.new_zeros(n, c)
                    for a in range(3):
                        for b in range(3):
                            y, z = i + a - 1, j + b - 1
                            if 0 <= y < h and 0 <= z < w:
                                total = total + x[:, :, y, z] * weight[:, a, b]
                    columns.append(total)
            f = torch.stack(columns, 2).unflatten(2, ((h + 1) // 2, (w + 1) // 2))
        name = f'gather.norm{number}'
        mean, var = p[f'{name}.running_mean'], p[f'{name}.running_var']
        if training:
            count = f.numel() / c
            mean = torch.einsum('nchw->c', f) / count
            var = torch.einsum('nchw->c', (f - mean[:, None, None]) ** 2) / count
        scale = p[f'{name}.weight'] / torch.sqrt(var + 1e-5)
        f = (f - mean[:, None, None]) * scale[:, None, None] + p[f'{name}.bias'][:, None, None]
        x = f * (f > 0) if mlp or number < len(steps) else f
    return x


def equations(x, p, *, extent, extra_params, mlp, training):
    h, w = x.shape[2:]
    g = convolved(x, p, extent, training, mlp) if extra_params else pooled(x, extent)
    if mlp:
        for name in ('mlp.fc1', 'mlp.fc2'):
            g = torch.einsum('oc,nchw->nohw', p[f'{name}.weight'][:, :, 0, 0], g)
            g = g + p[f'{name}.bias'][:, None, None]
            g = g * (g > 0) if name == 'mlp.fc1' else g
    rows = [i * g.shape[2] // h for i in range(h)]
    columns = [j * g.shape[3] // w for j in range(w)]
    return x / (1 + torch.exp(-g[:, :, rows][..., columns]))


@pytest.mark.parametrize('mlp', [False, True], ids=['gates', 'mlp'])
@pytest.mark.parametrize('extra_params', [False, True], ids=['mean', 'conv'])
@pytest.mark.parametrize('extent', [0, 2])
def test_tells_its_gate(extent, extra_params, mlp):
    options = dict(extent=extent, extra_params=extra_params, mlp=mlp)
    module = randomize(GatherExcite(12, reduction=4, feat_size=(7, 5), **options)).double().eval()
    x = torch.randn(3, 12, 7, 5, dtype=torch.float64)
    [(name, gate)] = module.gates(x).items()
    expected = ('spatial', (3, 12, 7, 5)) if extent else ('channel', (3, 12, 1, 1))
    assert (name, gate.shape) == expected
    p = module.state_dict()
    torch.testing.assert_close(gate.expand_as(x), equations(x, p, **options, training=False) / x)


@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
@pytest.mark.parametrize('mlp', [False, True], ids=['gates', 'mlp'])
@pytest.mark.parametrize('extra_params', [False, True], ids=['mean', 'conv'])
@pytest.mark.parametrize('extent', [0, 2, 4, 8])
def test_computes_the_equations(extent, extra_params, mlp, training):
    options = dict(extent=extent, extra_params=extra_params, mlp=mlp)
    for shape in SHAPES:
        module = GatherExcite(shape[1], reduction=4, feat_size=shape[2:], **options)
        randomize(module).double().train(training)
        p = {key: value.clone() for key, value in module.state_dict().items()}
        x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
        expected, out = equations(x, p, training=training, **options), module(x)
        torch.testing.assert_close(out, expected)
        r = torch.randn_like(out)
        [grad], [expected_grad] = (torch.autograd.grad((y * r).sum(), x) for y in (out, expected))
        torch.testing.assert_close(grad, expected_grad)


# Its other forms cannot be built in some versions.
@pytest.mark.parametrize('extent', [0, 2, 4, 8])
def test_computes_what_timm_does_without_parameters(extent):
    x = torch.randn(2, 8, 17, 11)
    other = TimmGatherExcite(8, extent=extent, use_mlp=False)
    torch.testing.assert_close(GatherExcite(8, extent=extent)(x), other(x))


@pytest.mark.parametrize(
    ('options', 'layers'),
    [
        (dict(), []),
        (dict(extent=8), []),
        (dict(extent=4, extra_params=True), ['conv1', 'norm1', 'conv2', 'norm2']),
        (dict(extra_params=True, feat_size=7), ['conv1', 'norm1']),
    ],
)
@pytest.mark.parametrize('mlp', [False, True])
def test_key_names(options, layers, mlp):
    kinds = dict(
        conv=['weight'],
        norm=['weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked'],
    )
    names = [f'gather.{layer}.{kind}' for layer in layers for kind in kinds[layer[:4]]]
    if mlp:
        names += [f'mlp.{layer}.{kind}' for layer in ('fc1', 'fc2') for kind in ('weight', 'bias')]
    assert list(GatherExcite(16, mlp=mlp, **options).state_dict()) == names


def test_single_value_in_training_uses_the_running_statistics():
    module = randomize(GatherExcite(16, extent=8, extra_params=True, mlp=True))
    x = torch.randn(1, 16, 1, 1)
    torch.testing.assert_close(module.train()(x), module.eval()(x))


def test_global_parameters_need_the_size():
    with pytest.raises(ValueError, match='expected feat_size.* got None'):
        GatherExcite(16, extra_params=True)


def test_global_parameters_refuse_another_size():
    module = GatherExcite(16, extra_params=True, feat_size=(6, 5))
    with pytest.raises(ValueError, match=r'\(6, 5\) \(feat_size\), got \(5, 6\)'):
        module(torch.rand(2, 16, 5, 6))


def test_reduction_out_of_range():
    GatherExcite(8)
    with pytest.raises(ValueError, match=r'reduction of 1 to 8 \(in_channels\), got 16; 8 works'):
        GatherExcite(8, mlp=True)


@needs_torch('2.5', 'torch.export of free sizes')
@pytest.mark.parametrize('extra_params', [False, True], ids=['mean', 'conv'])
@pytest.mark.parametrize('extent', [2, 8])
def test_exports_with_dynamic_sizes(extent, extra_params):
    module = randomize(GatherExcite(4, extent=extent, extra_params=extra_params)).eval()
    h, w = (torch.export.Dim(name, min=extent + 1) for name in 'hw')
    x = torch.randn(2, 4, 24, 19)
    program = torch.export.export(module, (x,), dynamic_shapes={'x': {2: h, 3: w}}).module()
    for size in ((9, 9), (11, 32)):
        x = torch.randn(2, 4, *size)
        torch.testing.assert_close(program(x), module(x))


def test_bottleneck_starts_as_in_the_release():
    torch.manual_seed(0)
    mlp = GatherExcite(256, mlp=True).mlp
    for layer in (mlp.fc1, mlp.fc2):
        # Within five standard errors of a sample of this size.
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.056)
        assert not layer.bias.any()
