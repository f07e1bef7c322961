import pytest
import torch
import torch.nn.functional as F

from mmattn.attention.gala import GALA
from tests.helpers import randomize

SHAPES = [(2, 16, 7, 5), (1, 24, 6, 8), (3, 5, 1, 4), (2, 8, 1, 1)]
BN = dict(type='BN')


def equations(x, p, training, release=False):
    h, w = x.shape[2:]
    z = torch.einsum('nchw->nc', x) / (h * w)
    hidden = torch.einsum('mc,nc->nm', p['fc.0.weight'], z) + p['fc.0.bias']
    what = torch.einsum('cm,nm->nc', p['fc.2.weight'], hidden * (hidden > 0)) + p['fc.2.bias']
    what = what * (what > 0) if release else what

    f = torch.einsum('mc,nchw->nmhw', p['spatial.conv1.weight'][..., 0, 0], x)
    f = f + p['spatial.conv1.bias'][:, None, None]
    weight = p['spatial.conv2.weight']
    k = weight.shape[-1]
    padded = F.pad(f * (f > 0), [k // 2] * 4)
    f = sum(
        torch.einsum('om,nmhw->nohw', weight[..., i, j], padded[:, :, i : i + h, j : j + w])
        for i in range(k)
        for j in range(k)
    )
    f = f + p['spatial.conv2.bias'][:, None, None]
    where = torch.einsum('m,nmhw->nhw', p['spatial.conv3.weight'][0, :, 0, 0], f * (f > 0))
    where = where + p['spatial.conv3.bias']
    if 'spatial.norm.weight' in p:
        mean, var = p['spatial.norm.running_mean'], p['spatial.norm.running_var']
        if training:
            mean = where.sum() / where.numel()
            var = ((where - mean) ** 2).sum() / where.numel()
        where = (where - mean) / torch.sqrt(var + 1e-5)
        where = where * p['spatial.norm.weight'] + p['spatial.norm.bias']

    what, where = what[..., None, None], where[:, None]
    alpha, beta = p['alpha'][:, None, None], p['beta'][:, None, None]
    return x / (1 + torch.exp(-alpha * (what + where) - beta * what * where))


@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
@pytest.mark.parametrize('norm_cfg', [None, BN], ids=['plain', 'norm'])
@pytest.mark.parametrize('shape', SHAPES, ids=lambda s: 'x'.join(map(str, s)))
def test_computes_the_equations(shape, norm_cfg, training):
    module = randomize(GALA(shape[1], norm_cfg=norm_cfg)).double().train(training)
    p = {key: value.clone() for key, value in module.state_dict().items()}
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    expected, out = equations(x, p, training), module(x)
    torch.testing.assert_close(out, expected)
    r = torch.randn_like(out)
    [grad], [expected_grad] = (torch.autograd.grad((y * r).sum(), x) for y in (out, expected))
    torch.testing.assert_close(grad, expected_grad)


def test_tells_its_gate():
    module = randomize(GALA(16, norm_cfg=BN)).double().eval()
    x = torch.randn(2, 16, 7, 5, dtype=torch.float64)
    [(name, gate)] = module.gates(x).items()
    assert (name, gate.shape) == ('spatial', (2, 16, 7, 5))
    torch.testing.assert_close(
        gate.expand_as(x), equations(x, module.state_dict(), training=False) / x
    )


def test_release_rates_no_channel_below_zero():
    module = randomize(GALA(16, release=True)).double()
    p = {key: value.clone() for key, value in module.state_dict().items()}
    x = torch.randn(2, 16, 7, 5, dtype=torch.float64)
    torch.testing.assert_close(module(x), equations(x, p, training=False, release=True))
    assert not torch.allclose(module(x), equations(x, p, training=False))
    assert set(p) == set(GALA(16).state_dict())


def test_single_value_in_training_uses_the_running_statistics():
    module = randomize(GALA(16, norm_cfg=BN))
    x = torch.randn(1, 16, 1, 1)
    torch.testing.assert_close(module.train()(x), module.eval()(x))


def test_weights():
    shapes = {
        'alpha': (32,),
        'beta': (32,),
        'fc.0.weight': (8, 32),
        'fc.0.bias': (8,),
        'fc.2.weight': (32, 8),
        'fc.2.bias': (32,),
        'spatial.conv1.weight': (8, 32, 1, 1),
        'spatial.conv1.bias': (8,),
        'spatial.conv2.weight': (8, 8, 5, 5),
        'spatial.conv2.bias': (8,),
        'spatial.conv3.weight': (1, 8, 1, 1),
        'spatial.conv3.bias': (1,),
    }
    assert {key: value.shape for key, value in GALA(32).state_dict().items()} == shapes


def test_sum_and_product_start_with_random_weights():
    module = GALA(4096)
    for weight in (module.alpha, module.beta):
        assert 0.8 < weight.std() < 1.1 and weight.abs().max() <= 2


@pytest.mark.parametrize(
    ('options', 'match'),
    [
        (dict(reduction=17), r'reduction of 1 to 16 \(in_channels\), got 17; 16 works'),
    ],
)
def test_wrong_options(options, match):
    with pytest.raises(ValueError, match=match):
        GALA(16, **options)
