import pytest
import torch

from mmattn.fusion import AFF, iAFF
from tests.helpers import randomize

SHAPES = [(2, 16, 7, 5), (3, 12, 1, 9), (2, 32, 1, 1)]


def bottleneck(z, p, name, first, training):
    """One branch on (N, C, L): layers ``first``, +1, +3 and +4 of a sequence."""
    for conv, norm in ((first, first + 1), (first + 3, first + 4)):
        w, b = p[f'{name}.{conv}.weight'][:, :, 0, 0], p[f'{name}.{conv}.bias']
        z = torch.einsum('oc,ncl->nol', w, z) + b[:, None]
        if training:
            mean = z.mean((0, 2))
            var = ((z - mean[:, None]) ** 2).mean((0, 2))
        else:
            mean, var = p[f'{name}.{norm}.running_mean'], p[f'{name}.{norm}.running_var']
        z = (z - mean[:, None]) / torch.sqrt(var[:, None] + 1e-5)
        z = z * p[f'{name}.{norm}.weight'][:, None] + p[f'{name}.{norm}.bias'][:, None]
        if conv == first:
            z = z * (z > 0)
    return z


def gate(z, p, local, pooled, training):
    """Equation 3 of the paper, for the branches of these names."""
    n, c, h, w = z.shape
    flat = z.reshape(n, c, h * w)
    mean = torch.einsum('ncl->nc', flat)[..., None] / (h * w)
    logits = sum(bottleneck(flat, p, name, 0, training) for name in local)
    logits = logits + sum(bottleneck(mean, p, name, 1, training) for name in pooled)
    return (1 / (1 + torch.exp(-logits))).expand(n, c, h * w).reshape(n, c, h, w)


def assert_same(module, equations, shape, training):
    module = randomize(module).double().train(training)
    p = {key: value.clone() for key, value in module.state_dict().items()}
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    y = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    out, expected = module(x, y), equations(x, y, p)
    torch.testing.assert_close(out, expected)
    r = torch.randn_like(out)
    grads, expected_grads = (torch.autograd.grad((z * r).sum(), (x, y)) for z in (out, expected))
    torch.testing.assert_close(grads, expected_grads)


modes = pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
shapes = pytest.mark.parametrize('shape', SHAPES, ids=lambda s: 'x'.join(map(str, s)))


@modes
@shapes
@pytest.mark.parametrize('scale', [1.0, 2.0])
def test_aff_computes_equation_4(shape, scale, training):
    def equations(x, y, p):
        m = gate(x + y, p, ['local_att'], ['global_att'], training)
        return scale * (m * x + (1 - m) * y)

    assert_same(AFF(shape[1], scale=scale), equations, shape, training)


@modes
@pytest.mark.parametrize(
    ('scales', 'local', 'pooled'),
    [
        (('global', 'global'), [], ['global_att', 'global_att2']),
        (('local', 'local'), ['local_att', 'local_att2'], []),
        (['global', 'local'], ['local_att'], ['global_att']),
        (('local',), ['local_att'], []),
    ],
    ids=str,
)
def test_aff_of_other_scales(scales, local, pooled, training):
    def equations(x, y, p):
        m = gate(x + y, p, local, pooled, training)
        return m * x + (1 - m) * y

    module = AFF(16, scales=scales)
    assert {name for name, _ in module.named_children()} == {*local, *pooled}
    assert_same(module, equations, (3, 16, 4, 5), training)


def chain(z, p, name, training, *layers):
    """Convolutions, norms and ReLUs of a sequence on (N, C, L), by index and kind."""
    for index, kind in layers:
        if kind == 'conv':
            w, b = p[f'{name}.{index}.weight'][:, :, 0, 0], p[f'{name}.{index}.bias']
            z = torch.einsum('oc,ncl->nol', w, z) + b[:, None]
        elif kind == 'norm':
            if training:
                mean = z.mean((0, 2))
                var = ((z - mean[:, None]) ** 2).mean((0, 2))
            else:
                mean, var = p[f'{name}.{index}.running_mean'], p[f'{name}.{index}.running_var']
            z = (z - mean[:, None]) / torch.sqrt(var[:, None] + 1e-5)
            z = z * p[f'{name}.{index}.weight'][:, None] + p[f'{name}.{index}.bias'][:, None]
        else:
            z = z * (z > 0)
    return z


FORMULAS = {
    'ms_gau': lambda m, x, y: m(y) * x + y,
    'ms_se': lambda m, x, y: x + m(y) * y,
    'ms_sa': lambda m, x, y: m(x + y) * x + y,
}


@modes
@shapes
@pytest.mark.parametrize('strategy', FORMULAS)
@pytest.mark.parametrize('scale', [1.0, 2.0])
def test_strategies_of_other_formulas(shape, strategy, scale, training):
    def equations(x, y, p):
        def m(z):
            return gate(z, p, ['local_att'], ['global_att'], training)

        return scale * FORMULAS[strategy](m, x, y)

    module = AFF(shape[1], strategy=strategy, scale=scale)
    assert set(module.state_dict()) == set(AFF(shape[1]).state_dict())
    assert_same(module, equations, shape, training)


@modes
@shapes
@pytest.mark.parametrize('strategy', ['half_aff', 'concat_aff'])
@pytest.mark.parametrize(
    'scales', [('local', 'global'), ('global', 'local', 'global'), ('local',), ('global',)], ids=str
)
def test_strategies_that_concatenate(shape, strategy, scales, training):
    layers = ['conv', 'norm', 'relu']
    layers = layers if strategy == 'half_aff' else 2 * layers

    def equations(x, y, p):
        n, c, h, w = shape
        flat = (x + y).reshape(n, c, h * w)
        mean = flat.sum(2, keepdim=True) / (h * w)
        parts = []
        for first, kind, source in ((0, 'local', flat), (1, 'global', mean)):
            for i in range(scales.count(kind)):
                name = f'{kind}_att{i + 1 if i else ""}'
                part = chain(source, p, name, training, *enumerate(layers, first))
                parts.append(part.expand(-1, -1, h * w))
        logits = chain(torch.cat(parts, 1), p, 'post', training, (0, 'conv'), (1, 'norm'))
        m = (1 / (1 + torch.exp(-logits))).reshape(shape)
        return m * x + (1 - m) * y

    assert_same(AFF(shape[1], strategy=strategy, scales=scales), equations, shape, training)


@modes
@shapes
@pytest.mark.parametrize('share_global', [False, True], ids=['paper', 'port'])
@pytest.mark.parametrize('iterations', [1, 2, 3])
def test_iaff_computes_equation_6(shape, iterations, share_global, training):
    def equations(x, y, p):
        z = x + y
        for suffix in ('', '2', '3')[:iterations]:
            pooled = 'global_att' if share_global else f'global_att{suffix}'
            m = gate(z, p, [f'local_att{suffix}'], [pooled], training)
            z = m * x + (1 - m) * y
        return z

    module = iAFF(shape[1], iterations=iterations, share_global=share_global)
    assert_same(module, equations, shape, training)


def told(module, shape=(2, 16, 7, 5)):
    """Give two maps, the state of a module, and what it tells of the maps."""
    module = randomize(module).double().eval()
    x, y = torch.randn(2, *shape, dtype=torch.float64)
    return x, y, module.state_dict(), module.gates(x, y), module(x, y)


def test_aff_tells_its_weight():
    x, y, p, gates, _ = told(AFF(16, scale=2.0))
    assert list(gates) == ['weight']
    torch.testing.assert_close(
        gates['weight'], gate(x + y, p, ['local_att'], ['global_att'], False)
    )


def test_aff_tells_one_weight_per_channel_without_local_branches():
    x, y, p, gates, _ = told(AFF(16, scales=('global',)))
    assert gates['weight'].shape == (2, 16, 1, 1)
    expected = gate(x + y, p, [], ['global_att'], False)
    torch.testing.assert_close(gates['weight'].expand_as(x), expected)


@pytest.mark.parametrize('strategy', ['half_aff', 'concat_aff'])
def test_strategies_that_concatenate_tell_their_weight(strategy):
    x, y, _, gates, out = told(AFF(16, strategy=strategy))
    assert list(gates) == ['weight']
    torch.testing.assert_close(gates['weight'], (out - y) / (x - y))


@pytest.mark.parametrize(
    ('strategy', 'name', 'seen'),
    [
        ('ms_gau', 'factor_of_x', lambda x, y: y),
        ('ms_se', 'factor_of_y', lambda x, y: y),
        ('ms_sa', 'factor_of_x', lambda x, y: x + y),
    ],
)
def test_other_formulas_tell_the_factor_of_one_map(strategy, name, seen):
    x, y, p, gates, _ = told(AFF(16, strategy=strategy))
    assert list(gates) == [name]
    torch.testing.assert_close(
        gates[name], gate(seen(x, y), p, ['local_att'], ['global_att'], False)
    )


@pytest.mark.parametrize('iterations', [1, 3])
def test_iaff_tells_the_weight_of_each_round(iterations):
    x, y, p, gates, _ = told(iAFF(16, iterations=iterations))
    assert list(gates) == ['weight_1', 'weight_2', 'weight'][-iterations:]
    z = x + y
    for suffix, got in zip(('', '2', '3'), gates.values(), strict=False):
        m = gate(z, p, [f'local_att{suffix}'], [f'global_att{suffix}'], False)
        torch.testing.assert_close(got, m)
        z = m * x + (1 - m) * y


@pytest.mark.parametrize(
    ('module', 'parameters'),
    [
        (AFF(256), 67456),
        (AFF(256, reduction=16), 18016),
        (AFF(256, scales=('global', 'global')), 67456),
        (AFF(256, strategy='ms_sa'), 67456),
        # Squeezes of 64 with their norms, then 128 channels to 256 with theirs.
        (AFF(256, strategy='half_aff'), 2 * (257 * 64 + 2 * 64) + 129 * 256 + 2 * 256),
        (AFF(256, strategy='concat_aff'), 67456 + 513 * 256 + 2 * 256),
        (iAFF(256), 2 * 67456),
        (iAFF(256, share_global=True), 67456 + 67456 // 2),
    ],
    ids=['r4', 'r16', 'global', 'ms_sa', 'half', 'concat', 'iaff', 'port'],
)
def test_parameters(module, parameters):
    assert sum(p.numel() for p in module.parameters()) == parameters


def released_names(*branches):
    kinds = {
        'conv': ['weight', 'bias'],
        'norm': ['weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked'],
    }
    return {
        f'{branch}.{index + branch.startswith("global")}.{name}'
        for branch in branches
        for index, kind in ((0, 'conv'), (1, 'norm'), (3, 'conv'), (4, 'norm'))
        for name in kinds[kind]
    }


def test_key_names():
    assert set(AFF(16).state_dict()) == released_names('local_att', 'global_att')
    half = set(AFF(16, strategy='half_aff').state_dict())
    assert {key.rpartition('.')[0] for key in half} == {
        *('local_att.0', 'local_att.1', 'global_att.1', 'global_att.2', 'post.0', 'post.1')
    }
    concat = set(AFF(16, strategy='concat_aff').state_dict())
    assert {key for key in concat if not key.startswith('post')} == released_names(
        'local_att', 'global_att'
    )
    four = released_names('local_att', 'global_att', 'local_att2', 'global_att2')
    assert set(iAFF(16).state_dict()) == four


def test_the_branch_that_the_port_leaves_unused_is_passed_over():
    released = randomize(iAFF(16)).state_dict()
    module = iAFF(16, share_global=True)
    module.load_state_dict(released, strict=True)
    assert set(module.state_dict()) == released_names('local_att', 'global_att', 'local_att2')
    assert all(torch.equal(value, released[key]) for key, value in module.state_dict().items())
    iAFF(16).load_state_dict(released, strict=True)
    with pytest.raises(RuntimeError, match='global_att3'):
        module.load_state_dict({**released, 'global_att3.1.weight': torch.zeros(4, 16, 1, 1)})


@pytest.mark.parametrize(
    'make',
    [
        lambda: AFF(16),
        lambda: AFF(16, strategy='half_aff'),
        lambda: AFF(16, strategy='concat_aff'),
        lambda: iAFF(16),
    ],
    ids=['aff', 'half', 'concat', 'iaff'],
)
def test_one_value_per_channel_trains_on_the_running_statistics(make):
    module = randomize(make()).train()
    x, y = torch.randn(2, 1, 16, 1, 1)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    out = module(x, y)
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    torch.testing.assert_close(out, module.eval()(x, y))


@pytest.mark.parametrize(
    ('make', 'match'),
    [
        (lambda: AFF(8, reduction=16), 'reduction of 1 to 8 .*got 16; 8 works'),
    ],
)
def test_values_it_cannot_serve(make, match):
    with pytest.raises(ValueError, match=match):
        make()


@pytest.mark.parametrize('strategy', ['aff', 'half_aff', 'concat_aff'])
def test_other_norms(strategy):
    module = AFF(16, strategy=strategy, norm_cfg=dict(type='GN', num_groups=2)).train()
    x, y = torch.randn(2, 1, 16, 3, 4)
    assert torch.equal(module(x, y), module.eval()(x, y))


@pytest.mark.parametrize('strategy', ['half_aff', 'concat_aff'])
def test_pooled_branch_beyond_float16(strategy):
    module = AFF(16, strategy=strategy).eval()
    with torch.no_grad():
        for name, p in module.named_parameters():
            p.fill_(1 if name.endswith('weight') else 0)
        # Infinity minus infinity, if the branch was passed on as it is.
        module.post[0].weight[:, ::2] = -1
    x = torch.full((1, 16, 3, 2), 6e4)
    assert module.global_att(x[:, :, :1, :1]).min() > 65504
    torch.testing.assert_close(module(x, x), x)
    module.half()
    torch.testing.assert_close(module(x.half(), x.half()), x.half())
