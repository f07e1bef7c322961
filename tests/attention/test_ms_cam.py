import pytest
import torch

from mmattn.attention.ms_cam import MSCAM
from tests.helpers import randomize


def batch_norm(x, p, name, training):
    n, _, h, w = x.shape
    if training and n * h * w > 1:
        mean = torch.einsum('nchw->c', x) / (n * h * w)
        var = torch.einsum('nchw->c', (x - mean[:, None, None]) ** 2) / (n * h * w)
    else:
        mean, var = p[f'{name}.running_mean'], p[f'{name}.running_var']
    scale = p[f'{name}.weight'] / torch.sqrt(var + 1e-5)
    return x * scale[:, None, None] + (p[f'{name}.bias'] - mean * scale)[:, None, None]


def logits(x, p, training):
    """What the paper computes: a bottleneck on the map plus one on its mean."""

    def branch(x, name, first):
        for conv in (first, first + 3):
            weight = p[f'{name}.{conv}.weight'][..., 0, 0]
            x = torch.einsum('oc,nchw->nohw', weight, x) + p[f'{name}.{conv}.bias'][:, None, None]
            x = batch_norm(x, p, f'{name}.{conv + 1}', training)
            x = x.clamp(min=0) if conv == first else x
        return x

    h, w = x.shape[2:]
    mean = torch.einsum('nchw->nc', x)[..., None, None] / (h * w)
    return branch(x, 'local_att', 0) + branch(mean, 'global_att', 1)


@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
@pytest.mark.parametrize(
    ('shape', 'reduction'),
    [
        ((3, 16, 7, 5), 4),
        ((2, 9, 1, 6), 2),
        ((1, 8, 5, 3), 8),
        ((2, 7, 1, 1), 1),
        ((1, 4, 1, 1), 4),
    ],
    ids=str,
)
def test_computes_the_equations(shape, reduction, training):
    module = randomize(MSCAM(shape[1], reduction=reduction)).double().train(training)
    p = {key: value.clone() for key, value in module.state_dict().items()}
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    expected = x / (1 + torch.exp(-logits(x, p, training)))
    out = module(x)
    torch.testing.assert_close(out, expected)
    r = torch.randn_like(out)
    [grad], [expected_grad] = (torch.autograd.grad((y * r).sum(), x) for y in (out, expected))
    torch.testing.assert_close(grad, expected_grad)


def test_tells_its_gate():
    module = randomize(MSCAM(16)).double().eval()
    x = torch.randn(3, 16, 7, 5, dtype=torch.float64)
    [(name, gate)] = module.gates(x).items()
    assert name == 'spatial'
    torch.testing.assert_close(gate, 1 / (1 + torch.exp(-logits(x, module.state_dict(), False))))


# One fusion node of an FPN with 256 channels.
@pytest.mark.parametrize(('reduction', 'parameters'), [(4, 67456), (16, 18016)])
def test_parameters(reduction, parameters):
    assert sum(p.numel() for p in MSCAM(256, reduction=reduction).parameters()) == parameters


def test_key_names():
    tensors = {
        'conv': ['weight', 'bias'],
        'norm': ['weight', 'bias', 'running_mean', 'running_var'],
    }
    names = [
        f'{branch}.{first + index}.{tensor}'
        for branch, first in (('local_att', 0), ('global_att', 1))
        for index, kind in ((0, 'conv'), (1, 'norm'), (3, 'conv'), (4, 'norm'))
        for tensor in tensors[kind]
    ]
    keys = [key for key in MSCAM(8).state_dict() if not key.endswith('num_batches_tracked')]
    assert keys == names


def test_statistics_rest_where_a_channel_has_one_value():
    module = randomize(MSCAM(8)).train()
    before = {key: value.clone() for key, value in module.named_buffers()}
    module(torch.randn(1, 8, 4, 4))
    changed = [key for key, value in module.named_buffers() if not torch.equal(value, before[key])]
    assert changed == [key for key in before if key.startswith('local_att')]


@pytest.mark.parametrize('norm_cfg', [dict(type='BN', eps=0.1), dict(type='GN', num_groups=1)])
def test_norm_cfg(norm_cfg):
    given = dict(norm_cfg)
    module = MSCAM(8, norm_cfg=norm_cfg)
    assert norm_cfg == given
    layers = [module.local_att[1], module.local_att[4], module.global_att[2], module.global_att[5]]
    assert all(layer.eps == given.get('eps', 1e-5) for layer in layers)
    assert len({type(layer) for layer in layers}) == 1
    assert module(torch.randn(1, 8, 3, 4)).isfinite().all()


def test_reduction_that_leaves_no_channels():
    with pytest.raises(ValueError, match='reduction of 1 to 8.*got 9; 8 works'):
        MSCAM(8, reduction=9)


def test_pooled_branch_is_computed_in_float32():
    module = MSCAM(8).eval().half()
    seen = []
    module.global_att.register_forward_hook(lambda layer, args, out: seen.append(out.dtype))
    assert module(torch.randn(1, 8, 8, 8).half()).dtype == torch.float16
    assert seen == [torch.float32]
