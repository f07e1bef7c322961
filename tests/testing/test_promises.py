"""Each promise is broken once, by a class that keeps the others, and named."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import nn

from mmattn import CoordAttMobileNetV2
from mmattn.attention.base import Attention
from mmattn.fusion.base import Fusion, add
from mmattn.ops.precision import gated, in_float32, on_map, wide_mean
from mmattn.testing import (
    attention,
    backbone,
    blended,
    check_attention,
    check_backbone,
    check_fusion,
    check_upsampling,
    fusion,
    gates,
    promises,
    upsampling,
)
from mmattn.testing.promises import Broken, ask_from, keep
from mmattn.upsampling.base import Upsampling

TINY = dict(widen_factor=0.25)


class Gate(Attention):
    def __init__(self, in_channels, *, norm_cfg=dict(type='BN'), start='paper', init_cfg=None):
        super().__init__(in_channels, start, init_cfg)
        self.conv = nn.Conv2d(in_channels, in_channels, 1)

    def attend(self, x):
        return gated(x, in_float32(self.conv, wide_mean(x, (2, 3), keepdim=True)).sigmoid())


class Mix(Fusion):
    def __init__(self, in_channels, *, start='paper', init_cfg=None):
        super().__init__(in_channels, start, init_cfg)
        self.conv = nn.Conv2d(in_channels, in_channels, 1)

    def fuse(self, x, y):
        gate = in_float32(self.conv, wide_mean(y, (2, 3), keepdim=True)).sigmoid()
        return add(x, gated(y, gate))


class Repeat(Upsampling):
    def __init__(self, in_channels, *, scale_factor=2, init_cfg=None):
        super().__init__(in_channels, scale_factor, init_cfg)
        self.conv = nn.Conv2d(in_channels, in_channels, 1)

    def reset_parameters(self):
        nn.init.normal_(self.conv.weight, std=0.01)
        nn.init.zeros_(self.conv.bias)

    def enlarge(self, x):
        out = on_map(self.conv, x).to(x.dtype)
        return F.interpolate(out, scale_factor=float(self.scale_factor))


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    for kind in (Gate, Mix, Repeat):
        monkeypatch.setitem(MODELS.module_dict, kind.__name__, kind)


# They take longer than all others.
LONG = (blended.compiles_whole, blended.exports_with_free_sizes)


@pytest.mark.parametrize(('kind', 'room'), [(Gate, attention), (Mix, fusion)])
def test_are_kept_by_what_is_broken_below(kind, room):
    promises = [promise for promise in room.PROMISES if promise not in LONG]
    keep(kind.__name__, blended.Asked(kind, 32), promises)


def test_are_kept_by_the_upsampling_that_is_broken_below():
    promises = [promise for promise in upsampling.PROMISES if promise not in LONG]
    keep('Repeat', upsampling.Asked(Repeat, 16), promises)


@pytest.mark.parametrize('check', [check_attention, check_fusion, check_upsampling, check_backbone])
def test_of_no_module(check):
    with pytest.raises(AssertionError, match=r"^expected a subclass of mmattn.*, got <class .*'>$"):
        check(nn.Conv2d)


def gate_with(change):
    def init(self, in_channels, *, norm_cfg=dict(type='BN'), start='paper', init_cfg=None):
        Gate.__init__(self, in_channels, start=start, init_cfg=init_cfg)
        change(self)

    return init


def positional(self, in_channels, reduction=4, *, start='paper', init_cfg=None):
    Gate.__init__(self, in_channels, start=start, init_cfg=init_cfg)


def any_width(self, in_channels, *, start='paper', init_cfg=None):
    Gate.__init__(self, max(in_channels, 1), start=start, init_cfg=init_cfg)


def takes_type(self, in_channels, *, norm_cfg=dict(type='BN'), start='paper', init_cfg=None):
    norm_cfg.pop('type')
    Gate.__init__(self, in_channels, start=start, init_cfg=init_cfg)


def unchecked(self, x):
    return self.attend(x)


def has_blend(self):
    self.blend = nn.Parameter(torch.ones(1))


def has_lambda(self):
    self.act = lambda x: x


def conv(self, x):
    return self.conv(x.mean((2, 3), keepdim=True))


def keeps_its_map(self, x):
    self.seen = x
    return Gate.attend(self, x)


def counts(self, x):
    self.conv.weight.data += 1
    return {}


def draws(self, x):
    torch.rand(1)
    return {}


def breaks_the_graph(self, x):
    torch._dynamo.graph_break()
    return x


ATTENTION = [
    (blended.is_registered, {}, r'expected @MODELS.register_module\(\) .* no entry'),
    (blended.takes_options_by_name, dict(__init__=positional), 'behind .*, got reduction without'),
    (blended.refuses_wrong_values, dict(__init__=any_width), 'for in_channels=0, got no error'),
    (blended.leaves_configs_alone, dict(__init__=takes_type), "{'type': 'BN'}.* as they were"),
    (
        blended.keeps_any_map,
        dict(attend=lambda self, x: x[..., :1]),
        r'expected a map of \(2, 32, 9, 7\), got \(2, 32, 9, 1\)$',
    ),
    (
        blended.keeps_any_map,
        dict(attend=lambda self, x: Gate.attend(self, x) / (x.shape[2] - 1)),
        r'expected a finite map of \(1, 1, 1\), got infinity or NaN$',
    ),
    (blended.refuses_what_is_no_map, dict(forward=unchecked), 'for such an x, got'),
    (blended.passes_an_empty_batch, dict(attend=lambda self, x: x / x.max()), 'got RuntimeError'),
    (blended.leaves_its_inputs_alone, dict(attend=lambda self, x: x.mul_(2)), 'got others$'),
    (
        gates.keeps_nothing_of_a_map,
        dict(attend=keeps_its_map),
        'expected no attribute that was not there, got seen$',
    ),
    (gates.tells_its_gates, dict(gates=lambda self, x: [x]), 'a dict of gates, got list$'),
    (gates.tells_its_gates, dict(gates=lambda self, x: {'a': 1}), "gate 'a', got int$"),
    (
        gates.tells_its_gates,
        dict(gates=lambda self, x: {'a': x.mean((2, 3))}),
        r"expected a gate 'a' that broadcasts to \(2, 32, 9, 7\), got \(2, 32\)$",
    ),
    (
        gates.tells_its_gates,
        dict(gates=lambda self, x: {'a': x.float()}),
        "a gate 'a' in torch.float64 of a map in torch.float64, got torch.float32$",
    ),
    (
        gates.tells_its_gates,
        dict(gates=lambda self, x: {'a': (x * self.conv.bias.mean()).sigmoid().requires_grad_()}),
        "a gate 'a' without a graph, got one with$",
    ),
    (
        gates.tells_its_gates,
        dict(gates=lambda self, x: {'a': x / (x.shape[2] - 1)}),
        "a finite gate 'a' of a map in torch.float32, got infinity or NaN$",
    ),
    (gates.tells_its_gates, dict(gates=counts), 'expected conv._parameters as it was, got another'),
    (gates.tells_its_gates, dict(gates=draws), 'that draw no random numbers, got some drawn$'),
    (
        gates.tells_its_gates_in_half_precision,
        dict(gates=lambda self, x: {'a': (x * x).float()}),
        "a finite gate 'a' of a map in torch.float16, got infinity or NaN$",
    ),
    (
        blended.is_the_same_in_channels_last,
        dict(attend=lambda self, x: x + x.is_contiguous()),
        'expected the same in both memory formats, got another result: Tensor-likes are not close!',
    ),
    (
        blended.every_parameter_gets_a_gradient,
        dict(attend=lambda self, x: 2 * x),
        'got none of conv.weight, conv.bias$',
    ),
    (
        blended.has_the_gradient_of_what_it_computes,
        dict(attend=lambda self, x: x * conv(self, x.detach()).sigmoid()),
        'got GradcheckError',
    ),
    (
        blended.has_no_key_of_ours,
        dict(__init__=gate_with(has_blend)),
        'expected no key blend, got blend, conv.weight',
    ),
    (blended.starts_as_if_it_were_not_there, dict(forward=unchecked), 'bit for bit, got another'),
    (
        blended.starts_as_if_it_were_not_there,
        dict(init_weights=lambda self: None),
        'bit for bit, after init_weights, got another map$',
    ),
    (
        blended.starts_as_if_it_were_not_there,
        dict(attend=lambda self, x: x + 0 * conv(self, x)),
        'after two steps of a training, got its map as before$',
    ),
    (
        blended.blends_its_paper_in,
        dict(blend_in=lambda self, out, x: out if self.blend is None else x + self.blend * out),
        'expected the map of its paper, got another',
    ),
    (
        blended.starts_as_plain_in_half_precision,
        dict(
            attend=lambda self, x: -x,
            blend_in=lambda self, out, x: x + self.blend * (out - x),
        ),
        'expected the plain map of torch.float16, bit for bit, got another map$',
    ),
    (
        blended.stays_finite_in_half_precision,
        dict(attend=lambda self, x: x * x),
        'expected a finite map in torch.float16, got infinity or NaN$',
    ),
    (
        blended.has_finite_gradients_in_float16,
        dict(attend=lambda self, x: x * conv(self, x).sigmoid()),
        'expected finite gradients of .*, got infinity or NaN by',
    ),
    (
        blended.is_close_in_half_precision,
        dict(attend=lambda self, x: x + 1000 - 1000),
        'expected at most .* off in torch.b?float16, got',
    ),
    (
        blended.copies_and_pickles,
        dict(__init__=gate_with(has_lambda)),
        "got .*: Can't pickle",
    ),
    (
        blended.runs_without_data,
        dict(attend=lambda self, x: x * x.max().item()),
        'got .*[mM]eta',
    ),
    (
        blended.is_mapped_by_vmap,
        dict(attend=lambda self, x: Gate.attend(self, x) if x.sum() > 0 else x),
        'got RuntimeError: vmap',
    ),
    (blended.compiles_whole, dict(attend=breaks_the_graph), 'got Unsupported'),
    (
        blended.exports_with_free_sizes,
        dict(attend=lambda self, x: x if x.shape[2] == 12 else 2 * x),
        'got ',
    ),
    (attention.is_a_plugin, dict(_abbr_='row.gate'), "expected an _abbr_ of .*, got 'row.gate'$"),
    (attention.stands_at_a_site, dict(forward=unchecked), 'expected the maps of the host, got'),
]
FUSION = [
    (
        fusion.refuses_different_shapes,
        dict(forward=lambda self, x, y: self.fuse(x, y)),
        'got RuntimeError|got no error',
    ),
    (
        fusion.no_parameter_is_dead,
        dict(fuse=lambda self, x, y: x + y + 0 * self.conv(x)),
        'expected gradients other than zero, got zero for conv.weight, conv.bias$',
    ),
    (
        blended.starts_as_if_it_were_not_there,
        dict(forward=lambda self, x, y: self.fuse(x, y)),
        'expected the sum of its maps, bit for bit, got another map$',
    ),
]


@pytest.mark.parametrize(
    ('promise', 'body', 'said'), ATTENTION, ids=[row[0].__name__ for row in ATTENTION]
)
def test_attention(promise, body, said):
    kind = type('Broken', (Gate,), body)
    with pytest.raises(Broken) as raised:
        keep('Broken', blended.Asked(kind, 32), [promise])
    compare(raised, promise, said)


@pytest.mark.parametrize(
    ('promise', 'body', 'said'), FUSION, ids=[row[0].__name__ for row in FUSION]
)
def test_fusion(promise, body, said):
    kind = type('Broken', (Mix,), body)
    with pytest.raises(Broken) as raised:
        keep('Broken', blended.Asked(kind, 16), [promise])
    compare(raised, promise, said)


def factor_of_one(self, in_channels, *, scale_factor=1, init_cfg=None):
    Repeat.__init__(self, in_channels, scale_factor=scale_factor, init_cfg=init_cfg)


def any_factor(self, in_channels, *, scale_factor=2, init_cfg=None):
    Repeat.__init__(self, in_channels, scale_factor=max(scale_factor, 1), init_cfg=init_cfg)


UPSAMPLING = [
    (upsampling.is_registered, {}, r'expected @MODELS.register_module\(\) .* no entry'),
    (
        upsampling.takes_options_by_name,
        dict(__init__=factor_of_one),
        r'an option scale_factor=2, got \[1\]$',
    ),
    (upsampling.refuses_wrong_values, dict(__init__=any_factor), 'for scale_factor=0, got no err'),
    (
        upsampling.enlarges_any_map,
        dict(enlarge=lambda self, x: on_map(self.conv, x)),
        r'expected a map of \(2, 16, 18, 14\), got \(2, 16, 9, 7\)$',
    ),
    (
        upsampling.reaches_a_size,
        dict(reach=lambda self, x, size: self.enlarge(x)),
        r'expected a map of \(9, 13\), got \(10, 14\)$',
    ),
    (
        upsampling.refuses_a_size_out_of_reach,
        dict(reach=lambda self, x, size: self.enlarge(x)[:, :, : size[0], : size[1]]),
        r'expected a map of \(11, 14\), or none, got \(10, 14\)$',
    ),
    (
        upsampling.passes_an_empty_batch,
        dict(enlarge=lambda self, x: Repeat.enlarge(self, x / x.max())),
        'got RuntimeError',
    ),
    (
        upsampling.no_parameter_is_dead,
        dict(enlarge=lambda self, x: Repeat.enlarge(self, x) * 0 + x.mean()),
        'expected gradients other than zero, got zero for conv.weight, conv.bias',
    ),
    (
        upsampling.starts_as_its_paper_in_a_host,
        dict(init_weights=lambda self: None),
        'expected conv.weight as the module draws it, got what its host drew$',
    ),
    (
        upsampling.stays_finite_in_half_precision,
        dict(enlarge=lambda self, x: Repeat.enlarge(self, x * x)),
        'expected a finite map in torch.float16, got infinity or NaN$',
    ),
    (
        upsampling.has_finite_gradients_in_float16,
        dict(enlarge=lambda self, x: Repeat.enlarge(self, 1e-6 * (300 * x.square()).sqrt())),
        'expected finite gradients of .*, got infinity or NaN by',
    ),
    (
        upsampling.runs_without_data,
        dict(enlarge=lambda self, x: Repeat.enlarge(self, x * x.max().item())),
        'got .*[mM]eta',
    ),
    (
        upsampling.is_mapped_by_vmap,
        dict(enlarge=lambda self, x: Repeat.enlarge(self, x if x.sum() > 0 else 2 * x)),
        'got RuntimeError: vmap',
    ),
]


@pytest.mark.parametrize(
    ('promise', 'body', 'said'), UPSAMPLING, ids=[row[0].__name__ for row in UPSAMPLING]
)
def test_upsampling(promise, body, said):
    kind = type('Broken', (Repeat,), body)
    with pytest.raises(Broken) as raised:
        keep('Broken', upsampling.Asked(kind, 16), [promise])
    compare(raised, promise, said)


def compare(raised, promise, said):
    start = f'Broken breaks a promise, "{promise.__doc__.removesuffix(".")}": '
    assert str(raised.value).startswith(start)
    assert '\n' not in str(raised.value)
    raised.match(said)


def backbone_with(change):
    def init(self, widen_factor=0.25, *, out_indices=(1, 2), frozen_stages=-1, **options):
        CoordAttMobileNetV2.__init__(
            self, widen_factor, out_indices=out_indices, frozen_stages=frozen_stages, **options
        )
        change(self)

    return init


def any_indices(self, *, out_indices=(1, 2), norm_eval=False, with_cp=False, init_cfg=None):
    CoordAttMobileNetV2.__init__(self, 0.25, out_indices=tuple(sorted({1, 2} & {*out_indices})))


def unused(self):
    self.unused = nn.Linear(1, 1)


def freezes_nothing(self, frozen_stages):
    self.frozen_stages = frozen_stages


def cropped(self, x):
    return tuple(m[..., 1:] for m in CoordAttMobileNetV2.extract(self, x))


def random(self, x):
    return tuple(m + torch.rand_like(m) for m in CoordAttMobileNetV2.extract(self, x))


def contiguous(self, x):
    return tuple(m.contiguous() for m in CoordAttMobileNetV2.extract(self, x))


BACKBONE = [
    (backbone.is_registered, {}, r'expected @MODELS.register_module\(\) .* no entry'),
    (
        backbone.has_the_options_of_all,
        dict(__init__=any_indices),
        'got none named frozen_stages$',
    ),
    (backbone.gives_maps_of_its_strides, dict(extract=cropped), 'expected maps of .*, got'),
    (
        backbone.refuses_what_is_no_image,
        dict(forward=CoordAttMobileNetV2.extract),
        'for such an image, got',
    ),
    (
        backbone.builds_what_is_used,
        dict(__init__=backbone_with(lambda self: setattr(self, 'out_channels', (1, 2)))),
        r'expected out_channels \(1,\), got \(1, 2\)$',
    ),
    (backbone.refuses_wrong_stages, dict(freeze=freezes_nothing), 'frozen_stages=-2, got no error'),
    (
        backbone.every_parameter_gets_a_gradient,
        dict(__init__=backbone_with(unused)),
        'got none of unused.weight, unused.bias$',
    ),
    (
        backbone.freezes_its_stages,
        dict(freeze=freezes_nothing),
        'as frozen_stages=0 says, got the contrary$',
    ),
    (
        backbone.keeps_its_norms_in_evaluation,
        dict(train=nn.Module.train),
        'expected all batch norms in evaluation, got',
    ),
    (
        backbone.saves_memory_only,
        dict(run=lambda self, block, x: block(x)),
        r'expected fewer than (\d+) numbers kept, got \1$',
    ),
    (backbone.copies_and_pickles, dict(extract=random), 'got '),
    (
        backbone.keeps_the_memory_format,
        dict(extract=contiguous),
        'expected a map in torch.channels_last, got strides',
    ),
]


@pytest.mark.parametrize(
    ('promise', 'body', 'said'), BACKBONE, ids=[row[0].__name__ for row in BACKBONE]
)
def test_backbone(promise, body, said):
    kind = type('Broken', (CoordAttMobileNetV2,), body)
    with pytest.raises(Broken) as raised:
        keep('Broken', backbone.Asked(kind, dict(out_indices=(1, 2), **TINY)), [promise])
    compare(raised, promise, said)


def test_each_promise_is_broken_above():
    asked = {row[0] for row in (*ATTENTION, *FUSION, *UPSAMPLING, *BACKBONE)}
    promised = {
        *blended.PROMISES,
        *attention.PROMISES,
        *fusion.PROMISES,
        *upsampling.PROMISES,
        *backbone.PROMISES,
    }
    assert promised == asked


def test_first_broken_promise_in_one_line(monkeypatch):
    kind = type('Doubled', (Gate,), dict(attend=lambda self, x: 2 * x))
    monkeypatch.setitem(MODELS.module_dict, 'Doubled', kind)
    with pytest.raises(AssertionError) as raised:
        check_attention(kind)
    assert str(raised.value) == (
        'Doubled breaks a promise, "It keeps shape, type and memory format of maps of any size, '
        'and trains everything on them": expected a gradient of everything, got none of '
        'conv.weight, conv.bias'
    )


def test_random_numbers_of_the_caller_stay_as_they_were():
    before = torch.random.get_rng_state()
    keep('Gate', blended.Asked(Gate, 8), [blended.keeps_any_map])
    assert torch.equal(torch.random.get_rng_state(), before)


def of_the_future(asked):
    """It is what there is not yet."""
    ask_from((99, 1), 'a wonder')


def in_half(asked):
    """It does what the CPU cannot."""
    raise RuntimeError('"conv" not implemented for \'Half\'')


def broken(asked):
    """It holds."""
    promises.expect(False, 'this', 'that')


def test_what_cannot_be_asked_is_skipped_after_all_else():
    held = []
    reason = r'^not asked of PyTorch .*: of_the_future: a wonder needs PyTorch 99.1$'
    with pytest.raises(pytest.skip.Exception, match=reason):
        keep('Gate', None, [of_the_future, held.append])
    assert held == [None]
    with pytest.raises(Broken, match='expected this, got that'):
        keep('Gate', None, [of_the_future, broken])


def test_without_pytest_it_is_a_warning(monkeypatch):
    monkeypatch.delenv('PYTEST_CURRENT_TEST')
    with pytest.warns(UserWarning, match='^Gate: .*of_the_future: a wonder needs PyTorch'):
        keep('Gate', None, [of_the_future])


@pytest.mark.parametrize(
    ('version', 'kind', 'said'),
    [
        ((2, 1), pytest.skip.Exception, 'in_half: float16 on the CPU needs PyTorch 2.4$'),
        ((9, 0), Broken, "not implemented for 'Half'"),
    ],
)
def test_float16_is_excused_where_pytorch_has_none(version, kind, said, monkeypatch):
    monkeypatch.setattr(promises, 'TORCH', version)
    with pytest.raises(kind, match=said):
        keep('Gate', None, [in_half])
