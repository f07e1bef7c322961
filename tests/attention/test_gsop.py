import pytest
import torch

from mmattn.attention.gsop import GSoP
from tests.helpers import randomize

SHAPES = [(2, 16, 7, 5), (1, 24, 6, 8), (3, 5, 1, 4), (2, 8, 1, 1)]


def equations(x, p, training, stride):
    """Follow section 3.1 of the paper: reduce, covariance, row-wise convolution, gate."""

    def norm(f, name):
        """Batch norm of (N, C, positions)."""
        mean, var = p[f'{name}.running_mean'], p[f'{name}.running_var']
        if training:
            count = f.numel() / f.shape[1]
            mean = torch.einsum('ncp->c', f) / count
            var = torch.einsum('ncp->c', (f - mean[:, None]) ** 2) / count
        scale = p[f'{name}.weight'] / torch.sqrt(var + 1e-5)
        return (f - mean[:, None]) * scale[:, None] + p[f'{name}.bias'][:, None]

    y = (x * (x > 0))[:, :, ::stride, ::stride].flatten(2)
    y = torch.einsum('dc,ncp->ndp', p['conv_for_DR.weight'][:, :, 0, 0], y)
    y = norm(y + p['conv_for_DR.bias'][:, None], 'bn_for_DR')
    y = y * (y > 0)
    count = y.shape[2]
    mean = torch.einsum('ndp->nd', y) / count
    cov = torch.einsum('ndp,nep->nde', y, y) / count - torch.einsum('nd,ne->nde', mean, mean)
    cov = norm(cov, 'row_bn')
    d = cov.shape[1]
    rows = p['row_conv_group.weight'][:, 0, :, 0].reshape(d, 4, d)  # four filters per row
    rows = torch.einsum('dfe,nde->ndf', rows, cov).flatten(1) + p['row_conv_group.bias']
    s = torch.einsum('cm,nm->nc', p['fc_adapt_channels.weight'][:, :, 0, 0], rows)
    s = s + p['fc_adapt_channels.bias']
    return torch.einsum('nchw,nc->nchw', x, 1 / (1 + torch.exp(-s)))


@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('shape', SHAPES, ids=lambda s: 'x'.join(map(str, s)))
def test_computes_the_equations(shape, stride, training):
    module = randomize(GSoP(shape[1], att_dim=6, stride=stride)).double().train(training)
    p = {key: value.clone() for key, value in module.state_dict().items()}
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    expected, out = equations(x, p, training, stride), module(x)
    torch.testing.assert_close(out, expected)
    r = torch.randn_like(out)
    [grad], [expected_grad] = (torch.autograd.grad((y * r).sum(), x) for y in (out, expected))
    torch.testing.assert_close(grad, expected_grad)


def test_tells_its_gate():
    module = randomize(GSoP(16, att_dim=6)).double().eval()
    x = torch.randn(2, 16, 7, 5, dtype=torch.float64)
    [(name, gate)] = module.gates(x).items()
    assert (name, gate.shape) == ('channel', (2, 16, 1, 1))
    torch.testing.assert_close(gate.expand_as(x), equations(x, module.state_dict(), False, 1) / x)


def test_single_value_in_training_is_finite():
    module = randomize(GSoP(16, att_dim=4)).train()
    mean = module.bn_for_DR.running_mean.clone()
    x = torch.randn(1, 16, 1, 1, requires_grad=True)
    module(x).sum().backward()
    assert x.grad.isfinite().all()
    assert torch.equal(module.bn_for_DR.running_mean, mean)


def test_key_names():
    kinds = dict(
        conv=['weight', 'bias'],
        norm=['weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked'],
    )
    layers = [
        ('conv_for_DR', 'conv'),
        ('bn_for_DR', 'norm'),
        ('row_bn', 'norm'),
        ('row_conv_group', 'conv'),
        ('fc_adapt_channels', 'conv'),
    ]
    state_dict = GSoP(32).state_dict()
    assert list(state_dict) == [f'{layer}.{kind}' for layer, form in layers for kind in kinds[form]]
    assert state_dict['row_conv_group.weight'].shape == (512, 1, 128, 1)
    assert state_dict['fc_adapt_channels.weight'].shape == (32, 512, 1, 1)
