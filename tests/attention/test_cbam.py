import pytest
import torch
import torch.nn.functional as F

from mmattn.attention.cbam import CBAM
from tests.helpers import randomize

SHAPES = [(2, 16, 7, 5), (1, 64, 9, 13), (3, 30, 1, 4), (2, 8, 1, 1)]


def sigmoid(x):
    return 1 / (1 + torch.exp(-x))


def gates(x, p, training):
    """Equations 1 to 3 of the paper, with the batch norm of the release."""
    _, c, h, w = x.shape
    pixels = [x[:, :, i, j] for i in range(h) for j in range(w)]
    peak = pixels[0]
    for pixel in pixels[1:]:
        peak = torch.where(pixel > peak, pixel, peak)
    total = 0
    for pooled in (sum(pixels) / (h * w), peak):
        hidden = torch.einsum('mc,nc->nm', p['ChannelGate.mlp.1.weight'], pooled)
        hidden = hidden + p['ChannelGate.mlp.1.bias']
        hidden = hidden * (hidden > 0)
        total = total + torch.einsum('cm,nm->nc', p['ChannelGate.mlp.3.weight'], hidden)
        total = total + p['ChannelGate.mlp.3.bias']
    channels = sigmoid(total)[..., None, None]
    x = x * channels

    peak = x[:, 0]
    for channel in x.unbind(1):
        peak = torch.where(channel > peak, channel, peak)
    weight = p['SpatialGate.spatial.conv.weight'][0]
    k = weight.shape[-1]
    padded = F.pad(torch.stack([peak, torch.einsum('nchw->nhw', x) / c], 1), [k // 2] * 4)
    f = sum(
        torch.einsum('q,nqhw->nhw', weight[:, i, j], padded[:, :, i : i + h, j : j + w])
        for i in range(k)
        for j in range(k)
    )
    bn = {key.split('.')[-1]: value for key, value in p.items() if '.bn.' in key}
    mean, var = bn['running_mean'], bn['running_var']
    if training:
        mean = f.sum() / f.numel()
        var = ((f - mean) ** 2).sum() / f.numel()
    f = (f - mean) / torch.sqrt(var + 1e-5) * bn['weight'] + bn['bias']
    return {'channel': channels, 'spatial': sigmoid(f)[:, None]}


def equations(x, p, training):
    g = gates(x, p, training)
    return x * g['channel'] * g['spatial']


@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
@pytest.mark.parametrize('kernel_size', [3, 7])
@pytest.mark.parametrize('shape', SHAPES, ids=lambda s: 'x'.join(map(str, s)))
def test_computes_the_equations(shape, kernel_size, training):
    module = randomize(CBAM(shape[1], reduction=4, kernel_size=kernel_size))
    module.double().train(training)
    p = {key: value.clone() for key, value in module.state_dict().items()}
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    expected, out = equations(x, p, training), module(x)
    torch.testing.assert_close(out, expected)
    r = torch.randn_like(out)
    [grad], [expected_grad] = (torch.autograd.grad((y * r).sum(), x) for y in (out, expected))
    torch.testing.assert_close(grad, expected_grad)


def test_tells_its_gates():
    module = randomize(CBAM(16, reduction=4)).double().eval()
    x = torch.randn(2, 16, 7, 5, dtype=torch.float64)
    got = module.gates(x)
    assert list(got) == ['channel', 'spatial']
    torch.testing.assert_close(got, gates(x, module.state_dict(), False))


def test_one_of_equal_maxima_gets_the_gradient():
    """As in the release's max pooling; a map behind a ReLU is full of equal zeros."""
    module = randomize(CBAM(8, reduction=2)).double().eval()
    for weight in (module.ChannelGate.mlp[3].weight, module.SpatialGate.spatial.conv.weight):
        weight.data.abs_()
    x = torch.randn(2, 8, 4, 5, dtype=torch.float64).relu().round().requires_grad_()
    out, expected = module(x), equations(x, module.state_dict(), False)
    r = torch.randn_like(out)
    [grad], [expected_grad] = (torch.autograd.grad((y * r).sum(), x) for y in (out, expected))
    torch.testing.assert_close(grad, expected_grad)


def test_single_value_in_training_uses_the_running_statistics():
    module = randomize(CBAM(16))
    x = torch.randn(1, 16, 1, 1)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    torch.testing.assert_close(module.train()(x), module.eval()(x))
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())


def test_spatial_gate_starts_even():
    module = CBAM(16)
    norm = module.SpatialGate.spatial.bn
    x = torch.randn(2, 16, 6, 5)
    even = module.ChannelGate(x) / 2
    torch.testing.assert_close(module(x), even)
    torch.nn.init.ones_(norm.weight)
    module.init_weights()
    torch.testing.assert_close(module(x), module.ChannelGate(x) / 2)
    assert norm.momentum == 0.01


def test_init_cfg_has_the_last_word(tmp_path):
    released = randomize(CBAM(16)).state_dict()
    torch.save(released, tmp_path / 'cbam.pth')
    checkpoint = str(tmp_path / 'cbam.pth')
    module = CBAM(16, init_cfg=dict(type='Pretrained', checkpoint=checkpoint))
    module.init_weights()
    assert all(torch.equal(released[key], value) for key, value in module.state_dict().items())


def test_key_names():
    perceptron = [f'ChannelGate.mlp.{i}.{kind}' for i in (1, 3) for kind in ('weight', 'bias')]
    norm = ['weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked']
    state_dict = CBAM(32, reduction=8).state_dict()
    assert list(state_dict) == [
        *perceptron,
        'SpatialGate.spatial.conv.weight',
        *(f'SpatialGate.spatial.bn.{kind}' for kind in norm),
    ]
    assert state_dict['ChannelGate.mlp.1.weight'].shape == (4, 32)
    assert state_dict['SpatialGate.spatial.conv.weight'].shape == (1, 2, 7, 7)


def test_too_few_channels():
    with pytest.raises(ValueError, match=r'reduction of 1 to 8 \(in_channels\), got 16; 8 works'):
        CBAM(8)
