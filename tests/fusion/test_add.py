import pytest
import torch

from mmattn.fusion import AddFusion, ConcatFusion
from tests.helpers import randomize


def test_add_is_the_sum():
    x, y = torch.randn(2, 3, 8, 7, 5)
    module = AddFusion(8)
    assert torch.equal(module(x, y), x + y)
    assert not module.state_dict()


@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
@pytest.mark.parametrize('norm', [False, True], ids=['plain', 'norm'])
def test_concat_mixes_both(norm, training):
    options = dict(norm_cfg=dict(type='BN'), act_cfg=dict(type='ReLU')) if norm else {}
    module = randomize(ConcatFusion(6, **options)).double().train(training)
    p = {key: value.clone() for key, value in module.state_dict().items()}
    x, y = torch.randn(2, 2, 6, 5, 3, dtype=torch.float64, requires_grad=True)
    weight = p['conv.weight'][:, :, 0, 0]
    expected = torch.einsum('oc,nchw->nohw', weight[:, :6], x)
    expected = expected + torch.einsum('oc,nchw->nohw', weight[:, 6:], y)
    if norm:
        mean, var = p['norm.running_mean'], p['norm.running_var']
        if training:
            mean = expected.mean((0, 2, 3))
            var = ((expected - mean[:, None, None]) ** 2).mean((0, 2, 3))
        scale = p['norm.weight'] / torch.sqrt(var + 1e-5)
        expected = (expected - mean[:, None, None]) * scale[:, None, None]
        expected = (expected + p['norm.bias'][:, None, None]).clamp(min=0)
    else:
        expected = expected + p['conv.bias'][:, None, None]
    out = module(x, y)
    torch.testing.assert_close(out, expected)
    r = torch.randn_like(out)
    grads, expected_grads = (torch.autograd.grad((z * r).sum(), (x, y)) for z in (out, expected))
    torch.testing.assert_close(grads, expected_grads)


def test_concat_parameters():
    assert list(ConcatFusion(4).state_dict()) == ['conv.weight', 'conv.bias']
    parameters = [name for name, _ in ConcatFusion(4, norm_cfg=dict(type='BN')).named_parameters()]
    assert parameters == ['conv.weight', 'norm.weight', 'norm.bias']
    assert ConcatFusion(4).conv.weight.shape == (4, 8, 1, 1)


def test_concat_with_norm_trains_on_one_value():
    module = ConcatFusion(4, norm_cfg=dict(type='BN')).train()
    x, y = torch.randn(2, 1, 4, 1, 1)
    out = module(x, y)
    torch.testing.assert_close(out, module.eval()(x, y))
