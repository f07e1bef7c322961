"""What every attention module promises, asked of every one that is exported."""

import copy
import inspect
import pickle

import pytest
import torch
from mmcv.cnn import build_plugin_layer
from mmengine.registry import MODELS

from mmattn import attention

NAMES = attention.__all__
each = pytest.mark.parametrize('name', NAMES)


@each
def test_is_a_plugin_layer(name):
    cfg = dict(type=name)
    abbr, module = build_plugin_layer(cfg, postfix='_1', in_channels=16)
    assert abbr == f'{getattr(attention, name)._abbr_}_1'
    assert cfg == dict(type=name)
    x = torch.randn(2, 16, 6, 5)
    assert module(x).shape == x.shape


@each
def test_mistyped_option(name):
    with pytest.raises(TypeError, match='reductoin'):
        MODELS.build(dict(type=name, in_channels=16, reductoin=4))


@each
def test_no_channels(name):
    with pytest.raises(ValueError, match='got .*0'):
        MODELS.build(dict(type=name, in_channels=0))


@each
@pytest.mark.parametrize(
    'size', [(1, 1), (1, 7), (9, 1), (13, 6)], ids=lambda s: 'x'.join(map(str, s))
)
def test_every_parameter_trains_at_any_size(name, size):
    module = getattr(attention, name)(16).train()
    x = torch.randn(1, 16, *size, requires_grad=True)
    module(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())
    assert x.grad.isfinite().all()


@each
def test_copies_and_pickles(name):
    module = getattr(attention, name)(16).eval()
    x = torch.randn(1, 16, 6, 5)
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(other(x), module(x))


@each
def test_keeps_channels_last(name):
    module = getattr(attention, name)(16).eval().to(memory_format=torch.channels_last)
    x = torch.randn(2, 16, 6, 5)
    out = module(x.to(memory_format=torch.channels_last))
    assert out.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(out, module(x))


@each
def test_trains_under_bfloat16_autocast(name):
    module = getattr(attention, name)(16)
    x = torch.randn(2, 16, 6, 5)
    with torch.autocast('cpu', torch.bfloat16):
        out = module(x)
    torch.testing.assert_close(out.float(), module(x), rtol=0.05, atol=0.05)


@each
def test_options_are_keywords(name):
    parameters = list(inspect.signature(getattr(attention, name)).parameters.values())
    assert parameters[0].name == 'in_channels'
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters[1:])
