import pytest
import torch

from mmattn.ops.coord_gate import coord_gate
from mmattn.ops.coord_pool import coord_pool
from mmattn.ops.lka_gate import lka_gate

X = torch.rand(2, 3, 5, 7)
CALLS = {
    'coord_pool': lambda impl: coord_pool(X, impl=impl),
    'coord_gate': lambda impl: coord_gate(X, X[..., :1], X[..., :1, :], impl=impl),
    'lka_gate': lambda impl: lka_gate(X, X, impl=impl),
}


@pytest.mark.parametrize('name', CALLS)
def test_fused_never_falls_back(name):
    with pytest.raises(RuntimeError, match=f'{name} has no fused kernel'):
        CALLS[name]('fused')


@pytest.mark.parametrize('name', CALLS)
def test_unknown_impl(name):
    with pytest.raises(ValueError, match="'auto', 'reference' or 'fused', got 'triton'"):
        CALLS[name]('triton')


@pytest.mark.parametrize('name', CALLS)
def test_auto_is_the_reference(name):
    auto, reference = CALLS[name]('auto'), CALLS[name]('reference')
    for a, b in zip(*[y if isinstance(y, tuple) else (y,) for y in (auto, reference)], strict=True):
        assert torch.equal(a, b)
