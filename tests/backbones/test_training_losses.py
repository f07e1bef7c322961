"""A training of 200 steps has the same losses in whichever form its blocks are computed."""

import contextlib

import pytest
import torch
from torch import nn

from mmattn import VAN
from mmattn.backbones import gated_pyramid, lean
from mmattn.ops import depthwise

ARCH = dict(embed_dims=(8, 16), depths=(1, 1), mlp_ratios=(4, 2))
SIDE = 48  # Of an image. That of the first map is the least one that is convolved by phases.
ANOTHER_ORDER = (1, 2, 3, 0)
FORMS = {
    'lean': dict(lean=True),
    'with_cp': dict(with_cp=True),
    'layer scale on the map': dict(),
    'no phases': dict(),
    'channels last': dict(layout=torch.channels_last),
}


def batch(generator, dtype):
    """Four images that are lighter in one of their quarters, and which."""
    x = torch.rand(4, 3, SIDE, SIDE, generator=generator, dtype=torch.float64)
    labels = torch.randint(4, (4,), generator=generator)
    for image, label in zip(x, labels.tolist(), strict=True):
        rows, columns = image.chunk(2, 1)[label // 2], label % 2
        rows.chunk(2, 2)[columns].add_(0.5)
    return x.to(dtype), labels


def losses_of(
    dtype, *, autocast=None, order=slice(None), layout=torch.contiguous_format, **options
):
    """Train, from one seed; give the losses (200,)."""
    torch.manual_seed(0)
    model = VAN(ARCH, out_indices=(1,), **options)
    model.init_weights()
    model.to(dtype=dtype, memory_format=layout).train()
    # Random numbers of another type are other ones.
    head = nn.Linear(16 * (SIDE // 8) ** 2, 4).to(dtype)
    optimizer = torch.optim.AdamW([*model.parameters(), *head.parameters()], lr=1e-3)
    generator, losses = torch.Generator().manual_seed(0), []
    for _ in range(200):
        x, labels = batch(generator, dtype)
        x = x[order, ...].contiguous(memory_format=layout)
        with torch.autocast('cpu', autocast) if autocast else contextlib.nullcontext():
            out = head(model(x)[0].flatten(1))
        loss = nn.functional.cross_entropy(out.to(dtype), labels[order, ...])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    losses = torch.tensor(losses, dtype=torch.float64)
    assert losses[-20:].mean() < 0.1 * losses[:20].mean()
    return losses


def off(a, b):
    return ((a - b).norm() / b.norm()).item()


@pytest.fixture(scope='module')
def exact():
    return losses_of(torch.float64)


@contextlib.contextmanager
def set_up(form):
    with pytest.MonkeyPatch.context() as patch:
        if form == 'layer scale on the map':
            for part in (gated_pyramid.SpatialAttention, gated_pyramid.Mlp):
                patch.setattr(part, 'takes_scale', lambda self: False)
        if form == 'no phases':
            for room in (depthwise, lean):
                patch.setattr(room, 'phase_dtype', lambda conv, x: None)
        yield


@pytest.mark.slow
@pytest.mark.parametrize('form', [form for form in FORMS if form != 'no phases'])
def test_losses_in_float64(form, exact):
    """Measured: 3e-16, or nothing at all."""
    with set_up(form):
        assert off(losses_of(torch.float64, **FORMS[form]), exact) < 1e-12


@pytest.mark.slow
@pytest.mark.parametrize(
    ('types', 'forms'),
    [
        (dict(), ('lean', 'no phases', 'channels last')),
        (dict(autocast=torch.bfloat16), ('lean', 'channels last')),
    ],
    ids=('float32', 'bfloat16'),
)
def test_losses_are_within_the_noise_of_the_type(types, forms, exact):
    """The noise is how far the plain training is from the one in float64.

    Two trainings that round independently of each other are sqrt(2) times as far apart.
    """
    plain, other = (
        losses_of(torch.float32, order=order, **types) for order in (slice(None), ANOTHER_ORDER)
    )
    noise = max(off(plain, exact), off(other, exact))
    assert noise < 10 * torch.finfo(types.get('autocast', torch.float32)).eps
    print(f'noise {noise:.2g}, another order of the images {off(other, plain):.2g}')
    for form in forms:
        with set_up(form):
            losses = losses_of(torch.float32, **types, **FORMS[form])
        print(f'{form} {off(losses, plain):.2g}')
        assert not torch.equal(losses, plain)
        assert off(losses, plain) < 2**0.5 * noise, form
