import pytest
import torch
import torch.nn.functional as F

from mmattn.ops.coarse_gate import coarse_gate

SIZES = [(8, 6), (9, 7), (8, 7), (3, 4), (1, 1)]


def equation(x, logits):
    return x * F.interpolate(1 / (1 + torch.exp(-logits)), size=x.shape[2:])


def draw(size, of=torch.float64, layout=torch.contiguous_format, scale=1.0):
    h, w = size
    x = torch.randn(2, 3, h, w, dtype=torch.float64).mul(scale).to(of, memory_format=layout)
    logits = torch.randn(2, 3, (h + 3) // 4, (w + 3) // 4, dtype=torch.float64)
    return x.requires_grad_(), logits.to(of).requires_grad_()


def outcome(function, maps):
    out = function(*maps)
    r = torch.linspace(-1, 1, out.numel()).view_as(out).to(out.dtype)
    return out, *torch.autograd.grad((out * r).sum(), maps)


@pytest.mark.parametrize('size', SIZES, ids=str)
@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last], ids=str)
def test_values_and_gradients(size, layout):
    maps = draw(size, layout=layout)
    got = outcome(coarse_gate, maps)
    torch.testing.assert_close(got, outcome(equation, maps))
    assert got[0].is_contiguous(memory_format=layout)
    with torch.no_grad():
        torch.testing.assert_close(coarse_gate(*maps), equation(*maps))


def test_gradients_are_exact():
    maps = draw((8, 7))
    assert torch.autograd.gradcheck(coarse_gate, maps)
    assert torch.autograd.gradgradcheck(coarse_gate, maps)


@pytest.mark.parametrize('wide_logits', [False, True])
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize('size', [(64, 56), (65, 57)], ids=str)
def test_half_precision(dtype, size, wide_logits):
    x, logits = draw(size, dtype)
    if wide_logits:
        logits = logits.detach().float().requires_grad_()
    wide = [t.detach().double().requires_grad_() for t in (x, logits)]
    for got, expected, like in zip(
        outcome(coarse_gate, (x, logits)), outcome(equation, wide), (x, x, logits), strict=True
    ):
        assert got.dtype == like.dtype
        slack = 4 * torch.finfo(dtype).eps * expected.abs().max().item()
        torch.testing.assert_close(got.double(), expected, rtol=0, atol=slack)


@pytest.mark.parametrize('logit', [-30.0, 0.0, 30.0])
def test_is_finite_at_the_ends_of_float16(logit):
    x, logits = draw((8, 7), torch.float16)
    x = torch.full_like(x, 6e4).requires_grad_()
    logits = torch.full_like(logits, logit).requires_grad_()
    out = coarse_gate(x, logits)
    out.backward(torch.full_like(out, 100.0))
    assert all(t.isfinite().all() for t in (out, x.grad, logits.grad))


def test_keeps_no_map_of_gates():
    maps = draw((8, 7), torch.bfloat16)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(kept.append, lambda x: x):
        coarse_gate(*maps)
    assert [t.data_ptr() for t in kept] == [t.data_ptr() for t in maps]


def test_is_mapped_by_vmap():
    maps = [t.detach()[:, None] for t in draw((8, 7))]
    looped = torch.stack([coarse_gate(*each) for each in zip(*maps, strict=True)])
    torch.testing.assert_close(torch.func.vmap(coarse_gate)(*maps), looped)
