import copy
import re

import pytest
import torch
import torch.nn.functional as F

from mmattn.attention.attention_augmented_conv import AttentionAugmentedConv
from tests.helpers import needs_torch, randomize


def pointwise(x, p, name):
    weight = p[f'{name}.weight'][:, :, 0, 0]
    return torch.einsum('oc,ncyx->noyx', weight, x) + p[f'{name}.bias'][:, None, None]


def convolution(x, p):
    """A convolution as a sum of shifted maps."""
    h, w = x.shape[2:]
    weight = p['conv_out.weight']
    k = weight.shape[2]
    padded = F.pad(x, [k // 2] * 4)
    out = sum(
        torch.einsum('oc,ncyx->noyx', weight[..., i, j], padded[..., i : i + h, j : j + w])
        for i in range(k)
        for j in range(k)
    )
    return out + p['conv_out.bias'][:, None, None]


def equations(x, p, heads, d_k, d_v):
    """What the paper computes, one query position of one head at a time.

    Also the mean weight of each position.
    """
    n, _, h, w = x.shape
    qkv = pointwise(x, p, 'qkv_conv')
    attended, received = [], x.new_zeros(n, 1, h, w)
    for head in range(heads):
        q = qkv[:, head * d_k :][:, :d_k]
        k = qkv[:, (heads + head) * d_k :][:, :d_k]
        v = qkv[:, 2 * heads * d_k + head * d_v :][:, :d_v]
        pixels = []
        for y in range(h):
            for column in range(w):
                query = q[:, :, y, column]
                logits = torch.einsum('nd,ndyx->nyx', query, k)
                if 'key_rel_h' in p:
                    # A distance of zero is the middle row of a table.
                    r_h = p['key_rel_h'][len(p['key_rel_h']) // 2 - y :][:h]
                    r_w = p['key_rel_w'][len(p['key_rel_w']) // 2 - column :][:w]
                    logits = logits + torch.einsum('nd,yd->ny', query, r_h)[:, :, None]
                    logits = logits + torch.einsum('nd,xd->nx', query, r_w)[:, None]
                weights = torch.exp(logits / d_k**0.5)
                total = torch.einsum('nyx->n', weights)
                pixels.append(torch.einsum('nyx,ndyx->nd', weights, v) / total[:, None])
                share = weights / total[:, None, None]
                received[:, 0] += share.detach() / (heads * h * w)
        attended.append(torch.stack(pixels, 2).reshape(n, d_v, h, w))
    attended = pointwise(torch.cat(attended, 1), p, 'attn_out')
    return torch.cat([convolution(x, p), attended], 1), received


@pytest.mark.parametrize('shape', [(2, 9, 5, 4), (1, 9, 1, 7), (1, 9, 6, 1), (2, 9, 1, 1)])
@pytest.mark.parametrize('feat_size', [None, 7, (6, 8)], ids=['none', 'int', 'pair'])
@pytest.mark.parametrize('kernel_size', [1, 3, 5])
def test_computes_the_equations(shape, feat_size, kernel_size):
    module = AttentionAugmentedConv(
        9,
        kernel_size=kernel_size,
        num_heads=2,
        key_ratio=0.7,
        value_ratio=0.5,
        min_key_channels=1,
        feat_size=feat_size,
    )
    module = randomize(module).double()
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    parameters = dict(module.named_parameters())
    out, [expected, _] = module(x), equations(x, parameters, 2, 3, 2)
    torch.testing.assert_close(out, expected)
    r = torch.randn_like(out)
    inputs = [x, *parameters.values()]
    grads, expected_grads = (torch.autograd.grad((y * r).sum(), inputs) for y in (out, expected))
    torch.testing.assert_close(grads, expected_grads)


@pytest.mark.parametrize('feat_size', [None, 8], ids=['none', 'int'])
def test_tells_how_much_each_position_is_attended_to(feat_size):
    options = dict(num_heads=2, key_ratio=0.7, value_ratio=0.5, min_key_channels=1)
    module = randomize(AttentionAugmentedConv(9, feat_size=feat_size, **options)).double()
    x = torch.randn(2, 9, 7, 5, dtype=torch.float64)
    _, expected = equations(x, module.state_dict(), 2, 3, 2)
    got = module.gates(x)
    assert list(got) == ['attention']
    torch.testing.assert_close(got['attention'], expected)


def test_a_smaller_map_uses_the_middle_of_the_tables():
    options = dict(num_heads=2, value_ratio=0.5)
    large = randomize(AttentionAugmentedConv(8, feat_size=(9, 7), **options))
    small = AttentionAugmentedConv(8, feat_size=(4, 5), **options)
    state = large.state_dict()
    state['key_rel_h'] = state['key_rel_h'][5:-5]
    state['key_rel_w'] = state['key_rel_w'][2:-2]
    small.load_state_dict(state, strict=True)
    x = torch.randn(2, 8, 4, 5)
    torch.testing.assert_close(small(x), large(x))


def test_only_positions_tell_mirrored_maps_apart():
    """Without them attention takes the positions in any order."""
    for feat_size, same in ((None, True), (4, False)):
        module = randomize(AttentionAugmentedConv(16, feat_size=feat_size))
        x = torch.randn(1, 16, 4, 4)
        attended, mirrored = module(x)[:, 8:], module(x.flip(3))[:, 8:].flip(3)
        assert torch.allclose(attended, mirrored, rtol=1e-4, atol=1e-4) == same


@pytest.mark.parametrize(
    ('in_channels', 'keys', 'values'),
    [(32, 160, 8), (256, 160, 24), (1024, 208, 104), (9, 160, 8)],
)
def test_default_widths(in_channels, keys, values):
    """The paper: 8 heads, kappa 0.2, upsilon 0.1, at least 20 channels in the key of a head."""
    module = AttentionAugmentedConv(in_channels)
    assert module.qkv_conv.out_channels == 2 * keys + values
    assert module.attn_out.out_channels == values
    assert module.conv_out.out_channels == in_channels - values


@pytest.mark.parametrize(('value_ratio', 'values'), [(0.001, 4), (0.5, 8), (0.999, 12)])
def test_value_ratio_leaves_channels_to_both(value_ratio, values):
    module = AttentionAugmentedConv(16, num_heads=4, value_ratio=value_ratio)
    assert module.attn_out.out_channels == values


def test_tables_have_the_parameters_of_the_paper():
    """(2 * (H + W) - 2) * d_k of one head, shared by all heads."""

    def count(**options):
        return sum(p.numel() for p in AttentionAugmentedConv(32, **options).parameters())

    assert count(feat_size=(14, 11)) - count() == (2 * (14 + 11) - 2) * 20


def test_tables_start_at_the_scale_of_the_keys():
    module = AttentionAugmentedConv(16, min_key_channels=64, feat_size=200)
    for table in (module.key_rel_h, module.key_rel_w):
        assert 0.12 < table.std() < 0.13


def test_key_names():
    names = {
        f'{name}.{kind}'
        for name in ('conv_out', 'qkv_conv', 'attn_out')
        for kind in ('weight', 'bias')
    }
    assert set(AttentionAugmentedConv(16).state_dict()) == names
    tables = {'key_rel_h', 'key_rel_w'}
    assert set(AttentionAugmentedConv(16, feat_size=4).state_dict()) == names | tables


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_close_with_positions(dtype):
    module = AttentionAugmentedConv(16, feat_size=6).eval()
    x = torch.randn(2, 16, 6, 5)
    expected = module(x)
    slack = 16 * torch.finfo(dtype).eps * expected.abs().max()
    with torch.autocast('cpu', dtype):
        assert (module(x).float() - expected).abs().max() <= slack
    out = copy.deepcopy(module).to(dtype)(x.to(dtype))
    assert out.dtype == dtype and (out.float() - expected).abs().max() <= slack


@pytest.mark.parametrize('feat_size', [None, 20], ids=['plain', 'relative'])
def test_keeps_no_pair_of_positions(feat_size):
    module = AttentionAugmentedConv(16, num_heads=2, feat_size=feat_size)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(kept.append, lambda x: x):
        module(torch.randn(1, 16, 20, 20))
    assert max(x.numel() for x in kept) < 400 * 400


@pytest.mark.parametrize('feat_size', [None, 9], ids=['plain', 'relative'])
@pytest.mark.parametrize('size', [(9, 7), (1, 6), (5, 1)])
def test_keeps_the_memory_format(feat_size, size):
    module = AttentionAugmentedConv(16, feat_size=feat_size)
    x = torch.randn(2, 16, *size)
    assert module(x).is_contiguous()
    x = x.to(memory_format=torch.channels_last)
    assert module(x).is_contiguous(memory_format=torch.channels_last)


def test_trains_on_one_pixel():
    module = randomize(AttentionAugmentedConv(16, feat_size=3)).train()
    out = module(torch.randn(1, 16, 1, 1))
    out.square().sum().backward()
    assert out.isfinite().all()
    assert all(p.grad.isfinite().all() for p in module.parameters())


@needs_torch('2.5', 'torch.export of free sizes')
def test_exports_with_positions():
    module = randomize(AttentionAugmentedConv(16, feat_size=(12, 20))).eval()
    sizes = {2: torch.export.Dim('h', min=2, max=12), 3: torch.export.Dim('w', min=2, max=20)}
    program = torch.export.export(
        module, (torch.randn(2, 16, 12, 9),), dynamic_shapes={'x': sizes}, strict=False
    )
    x = torch.randn(2, 16, 7, 20)
    torch.testing.assert_close(program.module()(x), module(x))


@pytest.mark.parametrize(('size', 'works'), [((5, 6), (5, 6)), ((3, 7), (4, 7)), ((9, 8), (9, 8))])
def test_larger_map(size, works):
    module = AttentionAugmentedConv(16, feat_size=(4, 6))
    message = f'at most (4, 6) (feat_size), got {size}; feat_size={works} works'
    with pytest.raises(ValueError, match=re.escape(message)):
        module(torch.rand(1, 16, *size))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(in_channels=1), 'in_channels of at least 2.* got 1'),
        (dict(num_heads=16), 'num_heads of 1 to 15 .* got 16; 15 works'),
    ],
)
def test_values_it_cannot_serve(options, message):
    with pytest.raises(ValueError, match=message):
        AttentionAugmentedConv(**dict(dict(in_channels=16), **options))


@pytest.mark.parametrize('batch', [1, 2])
def test_keeps_channels_last(batch):
    x = torch.randn(batch, 16, 5, 3).to(memory_format=torch.channels_last)
    out = AttentionAugmentedConv(16)(x)
    assert out.is_contiguous(memory_format=torch.channels_last)
