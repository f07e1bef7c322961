"""What the words for gates and products compute, against float64 and at the ends of float16."""

import pytest
import torch

from mmattn.ops import gating
from mmattn.ops.precision import gated, wide_mean

HALVES = (torch.float16, torch.bfloat16)
SHAPE = (2, 6, 7, 5)

# What is computed of tensors of these shapes: maps first, then small ones, which are in float32.
SMALL, WHOLE = (2, 6, 1, 1), SHAPE
WORDS = {
    'wide_mean': (lambda x: wide_mean(x, (2, 3)), [SHAPE]),
    'wide_mean of rows': (lambda x: wide_mean(x, 3, keepdim=True), [SHAPE]),
    'gated': (lambda x, m: gated(x, m.sigmoid()), [SHAPE, SMALL]),
    'gated by one number': (lambda x, m: gated(x, m.sigmoid()), [SHAPE, (1,)]),
    'gated by rows': (lambda x, m: gated(x, m.sigmoid()), [SHAPE, (2, 6, 7, 1)]),
    'multiplied': (gating.multiplied, [SHAPE, WHOLE]),
    'sigmoid_gated by a map': (gating.sigmoid_gated, [SHAPE, WHOLE]),
    'sigmoid_gated by a sum': (gating.sigmoid_gated, [SHAPE, WHOLE, SMALL]),
    'sigmoid_gated by rows and columns': (
        gating.sigmoid_gated,
        [SHAPE, (2, 6, 7, 1), (2, 6, 1, 5)],
    ),
    'sigmoid_gated by few': (gating.sigmoid_gated, [SHAPE, SMALL]),
    'sigmoid_gated and added': (
        lambda x, logits: gating.sigmoid_gated(x, logits, residual=True),
        [SHAPE, WHOLE],
    ),
    'mixed by few': (lambda x, y, m: gating.mixed(m.sigmoid(), x, y), [SHAPE, SHAPE, SMALL]),
    'weighted_sum of three': (
        lambda x, y, z, m: gating.weighted_sum([x, y, z], m.softmax(0)),
        [SHAPE, SHAPE, SHAPE, (3, 6, 1, 1)],
    ),
    'sigmoid_mixed': (gating.sigmoid_mixed, [SHAPE, SHAPE, WHOLE, SMALL]),
    'sigmoid_mixed by few': (gating.sigmoid_mixed, [SHAPE, SHAPE, SMALL]),
}
each = pytest.mark.parametrize('name', WORDS)


def draw(name, dtype, size=1.0):
    """Draw what a word is applied to: what has the size of the map in a type, else in float32."""
    wide = torch.promote_types(dtype, torch.float32)
    return [
        (torch.randn(shape, dtype=torch.float64) * size).to(dtype if shape == SHAPE else wide)
        for shape in WORDS[name][1]
    ]


def graded(word, tensors, factors):
    leaves = [x.detach().requires_grad_() for x in tensors]
    out = word(*leaves)
    out.backward(factors.to(out.dtype))
    return out.detach(), [x.grad for x in leaves]


def assert_close_to(got, expected, dtype):
    # A few roundings of numbers of about one, and of sums over a map.
    eps = torch.finfo(dtype).eps
    slack = 8 * eps * max(1.0, expected.abs().max().item())
    torch.testing.assert_close(got.double(), expected, rtol=8 * eps, atol=slack)


LAYOUTS = {
    'contiguous': lambda x: x,
    'channels last': lambda x: x.contiguous(memory_format=torch.channels_last),
    'strided': lambda x: torch.stack([x, x], -1)[..., 0],
}


@each
@pytest.mark.parametrize('dtype', [*HALVES, torch.float32], ids=str)
@pytest.mark.parametrize('layout', LAYOUTS)
def test_equals_float64_with_its_gradients(name, dtype, layout):
    torch.manual_seed(0)
    word = WORDS[name][0]
    tensors = draw(name, dtype)
    if layout != 'contiguous':
        tensors = [LAYOUTS[layout](x) if x.dim() == 4 else x for x in tensors]
    wide = [x.double() for x in tensors]
    factors = torch.randn_like(word(*wide)).to(dtype)
    expected, expected_grads = graded(word, wide, factors)
    out, grads = graded(word, tensors, factors)
    assert_close_to(out, expected, dtype)
    for x, grad, other in zip(tensors, grads, expected_grads, strict=True):
        assert (grad.dtype, grad.shape) == (x.dtype, x.shape)
        assert_close_to(grad, other, dtype)


@each
def test_gradients_are_exact(name):
    tensors = [x.requires_grad_() for x in draw(name, torch.float64)]
    assert torch.autograd.gradcheck(WORDS[name][0], tensors, fast_mode=True)


@each
@pytest.mark.parametrize('size', [6e4, 100.0, 1e-7])
def test_is_finite_in_float16_at_the_ends_of_its_range(name, size):
    torch.manual_seed(0)
    tensors = [x.sign() * size for x in draw(name, torch.float16)]
    word = WORDS[name][0]
    # Under a scaled loss gradients are large, too.
    factors = torch.full_like(word(*tensors), 100)
    _, expected = graded(word, [x.double() for x in tensors], factors)
    out, grads = graded(word, tensors, factors)
    assert out.isfinite().all()
    for grad, exact in zip(grads, expected, strict=True):
        assert grad[exact.abs() < 6e4].isfinite().all(), grad.shape


@each
@pytest.mark.parametrize('dtype', HALVES, ids=str)
def test_is_mapped_by_vmap(name, dtype):
    torch.manual_seed(0)
    word = WORDS[name][0]
    rows = [draw(name, dtype) for _ in range(3)]
    batches = [torch.stack(batch) for batch in zip(*rows, strict=True)]

    def loss(*tensors):
        return word(*tensors).float().square().sum()

    places = tuple(range(len(batches)))
    looped = torch.stack([word(*row) for row in rows])
    torch.testing.assert_close(torch.func.vmap(word)(*batches), looped)
    found = torch.func.vmap(torch.func.grad(loss, argnums=places))(*batches)
    for i, row in enumerate(rows):
        alone = torch.func.grad(loss, argnums=places)(*row)
        for mapped, grad in zip(found, alone, strict=True):
            torch.testing.assert_close(mapped[i], grad)
    # Only one of them differs.
    for place in places:
        axes = tuple(0 if i == place else None for i in places)
        tensors = [batches[i] if i == place else rows[0][i] for i in places]
        out = torch.func.vmap(word, in_dims=axes)(*tensors)
        torch.testing.assert_close(out[0], looped[0])


@each
@pytest.mark.parametrize('dtype', HALVES, ids=str)
def test_compiles_whole(name, dtype):
    torch.manual_seed(0)
    word = WORDS[name][0]
    compiled = torch.compile(word, fullgraph=True, backend='aot_eager')
    tensors = draw(name, dtype, size=3.0)
    factors = torch.randn_like(word(*tensors))
    out, grads = graded(compiled, tensors, factors)
    torch.compiler.reset()
    expected, expected_grads = graded(word, tensors, factors)
    torch.testing.assert_close(out, expected)
    for grad, other in zip(grads, expected_grads, strict=True):
        torch.testing.assert_close(grad, other)


@pytest.mark.parametrize('dtype', HALVES, ids=str)
def test_gate_is_the_sigmoid_of_a_float32_sum_rounded_once(dtype):
    torch.manual_seed(0)
    x, logits = torch.ones(SHAPE, dtype=dtype), torch.randn(SHAPE).to(dtype)
    small = torch.randn(SMALL)
    out = gating.sigmoid_gated(x, logits, small)
    assert torch.equal(out, (logits.float() + small).sigmoid().to(dtype))


@pytest.mark.parametrize('kept', ['channels', 'batch'])
def test_weighs_halves_of_one_map(kept):
    """Chunks along the channels do not lie one behind the other, those along the batch do."""
    torch.manual_seed(0)
    both = torch.randn(4, 6, 7, 5).half()
    maps = both.chunk(2, 1 if kept == 'channels' else 0)
    m = torch.rand(*maps[0].shape[:2], 1, 1)
    tensors, wide = [m, *maps], [m.double(), *(x.double() for x in maps)]
    factors = torch.randn_like(maps[0])
    out, grads = graded(gating.mixed, tensors, factors)
    expected, expected_grads = graded(gating.mixed, wide, factors)
    for got, exact in zip([out, *grads], [expected, *expected_grads], strict=True):
        assert_close_to(got, exact, torch.float16)


def test_second_derivative_of_a_gated_map():
    torch.manual_seed(0)
    x, m, factors = torch.randn(SHAPE), torch.rand(SMALL), torch.randn(SHAPE)
    found = []
    for dtype in (torch.bfloat16, torch.float64):
        leaves = [x.bfloat16().to(dtype).requires_grad_(), m.to(dtype).requires_grad_()]
        out = gated(*leaves)
        grads = torch.autograd.grad(out, leaves, factors.bfloat16().to(dtype), create_graph=True)
        penalty = sum(grad.double().square().sum() for grad in grads)
        found.append(torch.autograd.grad(penalty, leaves))
    for got, exact in zip(*found, strict=True):
        assert_close_to(got, exact, torch.bfloat16)
