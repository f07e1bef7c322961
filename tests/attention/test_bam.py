import pytest
import torch
import torch.nn.functional as F

from mmattn.attention.bam import BAM
from tests.helpers import randomize

SHAPES = [(2, 16, 7, 5), (3, 64, 9, 13), (3, 30, 1, 4), (2, 8, 1, 1)]


def equations(x, p, training, dilation):
    """Read the release: x (1 + sigmoid(channel logits times spatial logits))."""

    def norm(f, name):
        """Batch norm of (N, C, H, W)."""
        mean, var = p[f'{name}.running_mean'], p[f'{name}.running_var']
        if training:
            count = f.numel() / f.shape[1]
            mean = torch.einsum('nchw->c', f) / count
            var = torch.einsum('nchw->c', (f - mean[:, None, None]) ** 2) / count
        scale = p[f'{name}.weight'] / torch.sqrt(var + 1e-5)
        f = (f - mean[:, None, None]) * scale[:, None, None] + p[f'{name}.bias'][:, None, None]
        return f * (f > 0)

    def mix(f, name):
        """Fully connected layer or 1x1 convolution of (N, C, H, W)."""
        weight = p[f'{name}.weight'].flatten(1)
        return torch.einsum('oc,nchw->nohw', weight, f) + p[f'{name}.bias'][:, None, None]

    def dilated(f, name):
        h, w = f.shape[2:]
        weight = p[f'{name}.weight']
        padded = F.pad(f, [dilation] * 4)
        total = p[f'{name}.bias'][:, None, None]
        for i in range(3):
            for j in range(3):
                rows = slice(i * dilation, i * dilation + h)
                columns = slice(j * dilation, j * dilation + w)
                shifted = padded[:, :, rows, columns]
                total = total + torch.einsum('oc,nchw->nohw', weight[:, :, i, j], shifted)
        return total

    channel, spatial = 'channel_att.gate_c.gate_c', 'spatial_att.gate_s.gate_s'
    z = torch.einsum('nchw->nc', x)[..., None, None] / (x.shape[2] * x.shape[3])
    z = mix(norm(mix(z, f'{channel}_fc_0'), f'{channel}_bn_1'), f'{channel}_fc_final')
    f = norm(mix(x, f'{spatial}_conv_reduce0'), f'{spatial}_bn_reduce0')
    for i in range(2):
        f = norm(dilated(f, f'{spatial}_conv_di_{i}'), f'{spatial}_bn_di_{i}')
    f = mix(f, f'{spatial}_conv_final')
    return x * (1 + 1 / (1 + torch.exp(-z * f)))


@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
@pytest.mark.parametrize('dilation', [1, 4])
@pytest.mark.parametrize('shape', SHAPES, ids=lambda s: 'x'.join(map(str, s)))
def test_computes_the_equations(shape, dilation, training):
    module = randomize(BAM(shape[1], reduction=4, dilation=dilation)).double().train(training)
    p = {key: value.clone() for key, value in module.state_dict().items()}
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    expected, out = equations(x, p, training, dilation), module(x)
    torch.testing.assert_close(out, expected)
    r = torch.randn_like(out)
    [grad], [expected_grad] = (torch.autograd.grad((y * r).sum(), x) for y in (out, expected))
    torch.testing.assert_close(grad, expected_grad)


def test_tells_its_gate():
    module = randomize(BAM(16, reduction=4)).double().eval()
    x = torch.randn(2, 16, 7, 5, dtype=torch.float64)
    [(name, gate)] = module.gates(x).items()
    assert (name, gate.shape) == ('spatial', (2, 16, 7, 5))
    torch.testing.assert_close(gate.expand_as(x), equations(x, module.state_dict(), False, 4) / x)


def test_updates_the_running_statistics():
    module = randomize(BAM(16, reduction=4)).train()
    norms = [m for m in module.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    before = [norm.running_mean.clone() for norm in norms]
    module(torch.randn(2, 16, 5, 6))
    assert len(norms) == 4
    assert not any(torch.equal(a, b.running_mean) for a, b in zip(before, norms, strict=True))


def test_single_value_in_training_uses_the_running_statistics():
    module = randomize(BAM(16, reduction=4))
    x = torch.randn(1, 16, 1, 1)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    torch.testing.assert_close(module.train()(x), module.eval()(x))
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())


def test_single_sample_in_training():
    """The means are one value per channel then, the map is not."""
    module = randomize(BAM(16, reduction=4)).train()
    means = module.channel_att.gate_c.gate_c_bn_1.running_mean.clone()
    positions = module.spatial_att.gate_s.gate_s_bn_reduce0.running_mean.clone()
    x = torch.randn(1, 16, 5, 6)
    torch.testing.assert_close(module.channel_att(x), module.channel_att.eval()(x), rtol=0, atol=0)
    module.train()(x)
    assert torch.equal(module.channel_att.gate_c.gate_c_bn_1.running_mean, means)
    assert not torch.equal(module.spatial_att.gate_s.gate_s_bn_reduce0.running_mean, positions)


def test_key_names():
    def norm(name):
        kinds = ['weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked']
        return [f'{name}.{kind}' for kind in kinds]

    def layer(name):
        return [f'{name}.weight', f'{name}.bias']

    channel, spatial = 'channel_att.gate_c.gate_c', 'spatial_att.gate_s.gate_s'
    state_dict = BAM(32).state_dict()
    assert list(state_dict) == [
        *layer(f'{channel}_fc_0'),
        *norm(f'{channel}_bn_1'),
        *layer(f'{channel}_fc_final'),
        *layer(f'{spatial}_conv_reduce0'),
        *norm(f'{spatial}_bn_reduce0'),
        *layer(f'{spatial}_conv_di_0'),
        *norm(f'{spatial}_bn_di_0'),
        *layer(f'{spatial}_conv_di_1'),
        *norm(f'{spatial}_bn_di_1'),
        *layer(f'{spatial}_conv_final'),
    ]
    # Linear layers in the release, not 1x1 convolutions.
    assert state_dict[f'{channel}_fc_0.weight'].shape == (2, 32)
    assert state_dict[f'{spatial}_conv_di_0.weight'].shape == (2, 2, 3, 3)


@pytest.mark.parametrize(
    ('options', 'match'),
    [
        (dict(reduction=17), r'reduction of 1 to 16 \(in_channels\), got 17; 16 works'),
    ],
)
def test_wrong_options(options, match):
    with pytest.raises(ValueError, match=match):
        BAM(16, **options)
