import pytest
import torch
from mmcv.cnn import ConvModule
from torch import nn

from mmattn.layers.conv import AnySizeConvModule, ThriftyConvModule
from mmattn.probe.traffic import count_kept_bytes

NORM, ACT = dict(norm_cfg=dict(type='BN')), dict(act_cfg=dict(type='ReLU6'))


def pair(kind, **options):
    torch.manual_seed(0)
    plain, own = ConvModule(4, 8, 1, **options), kind(4, 8, 1, **options)
    own.load_state_dict(plain.state_dict())
    return plain, own


@pytest.mark.parametrize('kind', [ThriftyConvModule, AnySizeConvModule])
def test_relu6_costs_one_map_less(kind):
    x = torch.randn(2, 4, 9, 7)
    wide = 2 * x.nbytes
    then = nn.Conv2d(8, 4, 1)
    plain, own = [nn.Sequential(each, then) for each in pair(kind, **NORM, **ACT)]
    assert count_kept_bytes(plain, x) - count_kept_bytes(own, x) == wide
    outs = [model(x) for model in (plain, own)]
    torch.testing.assert_close(*outs, rtol=0, atol=0)
    for out in outs:
        out.square().sum().backward()
    for a, b in zip(plain.parameters(), own.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=0)


@pytest.mark.parametrize(
    'options',
    [
        {},
        dict(act_cfg=None),
        dict(norm_cfg=None),
        dict(act_cfg=dict(type='GELU')),
        dict(order=('norm', 'conv', 'act')),
        dict(order=('act', 'conv', 'norm')),
    ],
    ids=str,
)
@pytest.mark.parametrize('parts', [{}, dict(activate=False), dict(norm=False)], ids=str)
def test_computes_what_that_of_mmcv_does(options, parts):
    options = {**NORM, **ACT, **options}
    torch.manual_seed(0)
    plain, own = (kind(4, 4, 3, padding=1, **options) for kind in (ConvModule, ThriftyConvModule))
    own.load_state_dict(plain.state_dict())
    x = torch.randn(2, 4, 9, 7)
    torch.testing.assert_close(own(x, **parts), plain(x, **parts), rtol=0, atol=0)


def test_hooks_are_called():
    own, seen = pair(ThriftyConvModule, **NORM, **ACT)[1], []
    for module in (own, own.activate):
        module.register_forward_hook(lambda module, x, out: seen.append((type(module), out.max())))
    out = own(100 * torch.randn(2, 4, 9, 7))
    assert seen == [(nn.ReLU6, out.max()), (ThriftyConvModule, out.max())]
