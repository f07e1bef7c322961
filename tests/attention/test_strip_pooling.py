import pytest
import torch
import torch.nn.functional as F

from mmattn.attention.strip_pooling import StripPooling
from tests.helpers import randomize

SHAPES = [(2, 6, 7, 5), (1, 3, 9, 2), (3, 4, 1, 2), (2, 5, 1, 1)]


def equations(x, p, training):
    """Section 3.1 of the paper with the release's norms, one position of a profile at a time."""

    def strip(profile, conv, bn):
        """Convolve and normalize (N, C, L)."""
        weight = p[f'{conv}.weight'].flatten(2)  # (C, C, 3)
        length = profile.shape[2]
        padded = F.pad(profile, [1, 1])
        y = sum(
            torch.einsum('oc,ncl->nol', weight[..., k], padded[..., k : k + length])
            for k in range(3)
        )
        mean, var = p[f'{bn}.running_mean'], p[f'{bn}.running_var']
        if training:
            mean = y.mean((0, 2))
            var = ((y - mean[:, None]) ** 2).mean((0, 2))
        y = (y - mean[:, None]) / (var[:, None] + 1e-5) ** 0.5
        return y * p[f'{bn}.weight'][:, None] + p[f'{bn}.bias'][:, None]

    h, w = x.shape[2:]
    rows = strip(torch.einsum('nchw->nch', x) / w, 'conv1', 'bn1')
    columns = strip(torch.einsum('nchw->ncw', x) / h, 'conv2', 'bn2')
    y = rows[..., :, None] + columns[..., None, :]
    y = torch.einsum('oc,nchw->nohw', p['conv3.weight'][..., 0, 0], y * (y > 0))
    return x / (1 + torch.exp(-y - p['conv3.bias'][:, None, None]))


@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
@pytest.mark.parametrize('shape', SHAPES, ids=lambda s: 'x'.join(map(str, s)))
def test_computes_the_equations(shape, training):
    module = randomize(StripPooling(shape[1])).double().train(training)
    p = {key: value.clone() for key, value in module.state_dict().items()}
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    expected, out = equations(x, p, training), module(x)
    torch.testing.assert_close(out, expected)
    r = torch.randn_like(out)
    [grad], [expected_grad] = (torch.autograd.grad((y * r).sum(), x) for y in (out, expected))
    torch.testing.assert_close(grad, expected_grad)


def test_tells_its_gate():
    module = randomize(StripPooling(6)).double().eval()
    x = torch.randn(2, 6, 7, 5, dtype=torch.float64)
    [(name, gate)] = module.gates(x).items()
    assert (name, gate.shape) == ('spatial', (2, 6, 7, 5))
    torch.testing.assert_close(gate.expand_as(x), equations(x, module.state_dict(), False) / x)


def test_key_names_and_shapes():
    shapes = {key: tuple(value.shape) for key, value in StripPooling(4).state_dict().items()}
    bn = dict.fromkeys(('weight', 'bias', 'running_mean', 'running_var'), (4,))
    bn['num_batches_tracked'] = ()
    expected = {'conv1.weight': (4, 4, 3, 1)}
    expected |= {f'bn1.{key}': shape for key, shape in bn.items()}
    expected |= {'conv2.weight': (4, 4, 1, 3)}
    expected |= {f'bn2.{key}': shape for key, shape in bn.items()}
    expected |= {'conv3.weight': (4, 4, 1, 1), 'conv3.bias': (4,)}
    assert shapes == expected


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize('how', ['cast', 'autocast', 'autocast of float32'])
def test_half_precision_of_large_values(how, dtype):
    module = randomize(StripPooling(4)).eval()
    x = torch.full((2, 4, 6, 5), 1e3, dtype=torch.float32 if 'float32' in how else dtype)
    expected = module(x.float())
    if how == 'cast':
        out = module.to(dtype)(x)
    else:
        with torch.autocast('cpu', dtype):
            out = module(x)
    # Logits of this size are sure of their sign: each gate is open or closed.
    torch.testing.assert_close(out.float(), expected, rtol=1e-2, atol=1.0)


def test_rows_and_columns_whose_sum_overflows_half_precision():
    module = randomize(StripPooling(4)).eval()
    for norm in (module.bn1, module.bn2):
        torch.nn.init.constant_(norm.bias, 4e4)
    assert module.half()(torch.randn(2, 4, 6, 5).half()).isfinite().all()


@pytest.mark.parametrize('size', [(1, 1), (1, 4), (4, 1)], ids=lambda s: 'x'.join(map(str, s)))
def test_trains_on_a_profile_of_one_value(size):
    module = randomize(StripPooling(4)).train()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    x = torch.randn(1, 4, *size)
    out = module(x)
    kept = [f'bn{i}' for i, length in ((1, size[0]), (2, size[1])) if length == 1]
    for key, value in module.state_dict().items():
        if key.endswith('running_mean'):
            assert torch.equal(value, before[key]) == (key.split('.')[0] in kept)
    if size == (1, 1):
        torch.testing.assert_close(out, module.eval()(x))
