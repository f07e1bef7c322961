import pytest
import torch
from mmcv.cnn import NonLocal2d

from mmattn.attention.non_local import NonLocal
from tests.helpers import randomize

SHAPES = [(2, 8, 7, 5), (1, 6, 1, 9), (2, 4, 1, 1)]

MODES = ('gaussian', 'embedded_gaussian', 'dot_product', 'concatenation')


def pairs_and_values(x, p, mode, scaled):
    """The weights of all pairs (i, j) of positions, and the values of j, as in equation 1."""
    n, c, h, w = x.shape
    flat = x.reshape(n, c, h * w)

    def embed(name):
        weight, bias = p[f'{name}.conv.weight'][:, :, 0, 0], p[f'{name}.conv.bias']
        return torch.einsum('mc,ncl->nml', weight, flat) + bias[:, None]

    g = embed('g')
    theta, phi = (flat, flat) if mode == 'gaussian' else (embed('theta'), embed('phi'))
    pairs = torch.einsum('nmi,nmj->nij', theta, phi)
    if mode.endswith('gaussian'):
        if scaled and mode == 'embedded_gaussian':
            pairs = pairs / theta.shape[1] ** 0.5
        pairs = torch.exp(pairs - pairs.max())
        pairs = pairs / pairs.sum(2, keepdim=True)
    elif mode == 'dot_product':
        pairs = pairs / (h * w)
    else:
        weight = p['concat_project.conv.weight'].flatten()
        m = theta.shape[1]
        pairs = torch.einsum('m,nmi->ni', weight[:m], theta)[:, :, None]
        pairs = (pairs + torch.einsum('m,nmj->nj', weight[m:], phi)[:, None]).clamp(min=0) / (h * w)
    return pairs, g


def equations(x, p, mode, scaled):
    """Equation 1 of the paper with the pairs written out, then equation 6."""
    y = torch.einsum('nij,nmj->nmi', *pairs_and_values(x, p, mode, scaled))
    y = torch.einsum('cm,nmi->nci', p['conv_out.conv.weight'][:, :, 0, 0], y)
    return x + (y + p['conv_out.conv.bias'][:, None]).reshape(x.shape)


def assert_same(module, reference, x):
    out, expected = module(x), reference(x)
    torch.testing.assert_close(out, expected)
    r = torch.randn_like(out)
    [grad], [expected_grad] = (torch.autograd.grad((y * r).sum(), x) for y in (out, expected))
    torch.testing.assert_close(grad, expected_grad)


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('shape', SHAPES, ids=lambda s: 'x'.join(map(str, s)))
@pytest.mark.parametrize('scaled', [True, False], ids=['scaled', 'plain'])
def test_computes_the_equations(shape, mode, scaled):
    module = randomize(NonLocal(shape[1], mode=mode, use_scale=scaled)).double()
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    assert_same(module, lambda x: equations(x, module.state_dict(), mode, scaled), x)


@pytest.mark.parametrize('mode', MODES)
def test_tells_how_much_each_position_is_attended_to(mode):
    module = randomize(NonLocal(8, mode=mode)).double()
    x = torch.randn(2, 8, 7, 5, dtype=torch.float64)
    pairs, _ = pairs_and_values(x, module.state_dict(), mode, True)
    got = module.gates(x)
    assert list(got) == ['attention']
    expected = torch.einsum('nij->nj', pairs) / 35
    torch.testing.assert_close(got['attention'], expected.reshape(2, 1, 7, 5))


def test_tells_from_which_pixels_of_a_cell_attention_comes():
    """Where values rise to the lower right, from the last pixel of each cell alone."""
    module = randomize(NonLocal(4, sub_sample=True)).double()
    module.g[0].conv.weight.data.abs_()
    ramp = torch.arange(4.0, dtype=torch.float64)
    x = (ramp[:, None] + 4 * ramp).expand(1, 4, 4, 4)
    received = module.gates(x)['attention'][0, 0]
    assert received[:, ::2].count_nonzero() == received[::2].count_nonzero() == 0
    theta, phi = module.theta(x), module.phi[0](x)
    phi = torch.stack([phi[..., i : i + 2, j : j + 2].amax((2, 3)) for i in (0, 2) for j in (0, 2)])
    logits = torch.einsum('nchw,knc->nhwk', theta, phi) / 2**0.5
    weights = torch.exp(logits) / torch.exp(logits).sum(3, keepdim=True)
    torch.testing.assert_close(received[1::2, 1::2].flatten(), weights[0].mean((0, 1)))


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('sub_sample', [False, True], ids=['full', 'pooled'])
@pytest.mark.parametrize('norm_cfg', [None, dict(type='BN')], ids=['plain', 'bn'])
@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
def test_takes_the_weights_of_mmcv(mode, sub_sample, norm_cfg, training):
    options = dict(reduction=3, mode=mode, sub_sample=sub_sample, norm_cfg=norm_cfg)
    if mode == 'gaussian':
        options['reduction'] = 1
    theirs = randomize(NonLocal2d(9, **options)).double().train(training)
    module = NonLocal(9, **options).double().train(training)
    module.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(2, 9, 7, 5, dtype=torch.float64, requires_grad=True)
    if mode == 'concatenation':
        # mmcv divides the output of its ReLU in place and has no gradient there.
        torch.testing.assert_close(module(x), theirs(x))
    else:
        assert_same(module, theirs, x)


def test_middle_layers_start_small_whatever_the_host_did():
    module = NonLocal(64)
    randomize(module).init_weights()
    for layer in (module.g, module.theta, module.phi):
        assert 0.009 < layer.conv.weight.std() < 0.011
        assert not layer.conv.bias.any()


def test_what_scores_a_pair_starts_as_its_convolution_does():
    module = randomize(NonLocal(8, mode='concatenation'))
    before = module.concat_project.conv.weight.clone()
    module.init_weights()
    assert torch.equal(module.concat_project.conv.weight, before)


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('size', [(1, 1), (1, 5)])
def test_sub_sampling_leaves_a_side_of_one(mode, size):
    x = torch.randn(1, 8, *size)
    assert randomize(NonLocal(8, mode=mode, sub_sample=True))(x).isfinite().all()


@pytest.mark.parametrize('norm_cfg', [None, dict(type='BN')], ids=['plain', 'bn'])
def test_starts_as_the_input_after_a_host_initializes(norm_cfg):
    module = NonLocal(8, norm_cfg=norm_cfg)
    x = torch.randn(2, 8, 4, 3)
    assert torch.equal(module(x), x)
    randomize(module).init_weights()
    assert torch.equal(module.eval()(x), x)


@pytest.mark.parametrize('norm_cfg', [None, dict(type='BN')], ids=['plain', 'bn'])
def test_identity_start_leaves_the_last_layer_trainable(norm_cfg):
    module = NonLocal(8, norm_cfg=norm_cfg, start='identity')
    module.init_weights()
    x = torch.randn(2, 8, 4, 3)
    out = module(x)
    assert torch.equal(out, x)
    (out * torch.randn_like(out)).sum().backward()
    assert module.blend.grad.item() != 0


def test_own_init_cfg_has_the_last_word():
    module = NonLocal(8, init_cfg=dict(type='Constant', layer='Conv2d', val=1.0))
    module.init_weights()
    assert (module.conv_out.conv.weight == 1).all()


def test_norm_trains_on_one_value():
    module = randomize(NonLocal(8, norm_cfg=dict(type='BN'))).train()
    x = torch.randn(1, 8, 1, 1)
    torch.testing.assert_close(module(x), module.eval()(x))


def test_values_it_cannot_serve():
    with pytest.raises(ValueError, match='reduction of 1 to 8 .*got 9; 8 works'):
        NonLocal(8, reduction=9)


def test_key_names():
    names = {
        f'{name}.conv.{kind}'
        for name in ('g', 'theta', 'phi', 'conv_out')
        for kind in ('weight', 'bias')
    }
    assert set(NonLocal(8).state_dict()) == names
