import contextlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from mmattn import VAN
from mmattn.backbones import lean
from mmattn.errors import InputError
from mmattn.probe.memory import count_training_memory
from tests.helpers import needs_torch, randomize
from tests.launch.helpers import ENV

TINY = dict(embed_dims=(8, 16, 24, 32), depths=(1, 2, 1, 1), mlp_ratios=(8, 8, 4, 4))


def pair(**options):
    """A plain network and a lean one with the same weights, in training."""
    plain = randomize(VAN(TINY, **options))
    same = VAN(TINY, lean=True, **options)
    same.load_state_dict(plain.state_dict())
    return plain.train(), same.train()


def passes(model, x, autocast=None):
    """Maps, gradients and buffers, with the same random numbers each time."""
    torch.manual_seed(0)
    x = x.detach().requires_grad_()
    model.zero_grad()
    with torch.autocast('cpu', autocast) if autocast else contextlib.nullcontext():
        maps = model(x)
    torch.manual_seed(1)
    sum((m * torch.randn(m.shape, dtype=m.dtype)).sum() for m in maps).backward()
    grads = {name: p.grad for name, p in model.named_parameters()}
    # A batch norm takes this bias away: its gradient is rounding.
    grads = {name: g for name, g in grads.items() if not name.endswith('proj.bias')}
    return maps, {'x': x.grad, **grads}, dict(model.named_buffers())


def off(a, b):
    return ((a - b).norm() / b.norm().clamp(min=1e-300)).item()


def kept_bytes(model, x):
    seen = {t.untyped_storage().data_ptr(): t for t in (*model.parameters(), *model.buffers())}
    total = 0

    def pack(tensor):
        nonlocal total
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in seen:
            seen[storage.data_ptr()] = tensor
            total += storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        maps = model(x)
    del maps
    return total


IMAGES = {
    'odd': lambda: torch.randn(2, 3, 71, 45),
    'strided': lambda: torch.randn(2, 3, 45, 142)[..., ::2].transpose(2, 3),
    'channels last': lambda: torch.randn(3, 3, 33, 65).to(memory_format=torch.channels_last),
}


@pytest.mark.parametrize(
    ('options', 'image'),
    [
        *(({}, image) for image in IMAGES),
        (dict(drop_path_rate=0.4), 'odd'),
        (dict(norm_eval=True), 'odd'),
        (dict(frozen_stages=1), 'odd'),
        (dict(norm_cfg=dict(type='SyncBN')), 'odd'),
        (dict(norm_cfg=dict(type='BN', momentum=None)), 'odd'),
        (dict(norm_cfg=dict(type='GN', num_groups=2)), 'channels last'),
        (dict(attention=dict(type='CoordAtt', reduction=4)), 'odd'),
        (dict(attention=dict(type='LKA', kernel_size=14, with_pointwise=False)), 'odd'),
        (dict(attention=dict(type='LKA', combine='add')), 'odd'),
        (dict(attention=dict(type='LKA', start='identity')), 'odd'),
        (dict(attention=dict(type='LKA', act_cfg=dict(type='Sigmoid'))), 'odd'),
    ],
    ids=lambda each: ' '.join(map(str, each.values())) if isinstance(each, dict) else each,
)
def test_values_and_gradients_are_exact(options, image):
    plain, same = (model.double() for model in pair(**options))
    x = IMAGES[image]().double()
    (maps, grads, buffers), (own_maps, own_grads, own_buffers) = passes(plain, x), passes(same, x)
    for a, b in zip(own_maps, maps, strict=True):
        assert off(a, b) < 1e-13
        assert a.is_contiguous(memory_format=torch.channels_last) == b.is_contiguous(
            memory_format=torch.channels_last
        )
    for name, grad in grads.items():
        if grad is None:
            assert own_grads[name] is None, name
        else:
            assert off(own_grads[name], grad) < 1e-10, name
    for name, buffer in buffers.items():
        torch.testing.assert_close(own_buffers[name], buffer, rtol=1e-12, atol=1e-12)


def test_a_norm_of_one_value_is_refused_as_ever():
    for model in pair():
        with pytest.raises(ValueError, match='more than 1 value per channel'):
            model(torch.rand(1, 3, 1, 1))


def test_a_norm_of_several_processes_keeps_its_output(monkeypatch):
    plain, same = (model.double() for model in pair(norm_cfg=dict(type='SyncBN')))
    x = IMAGES['odd']().double()
    alone = kept_bytes(same, x)
    monkeypatch.setattr(lean, 'is_synchronized', lambda norm: isinstance(norm, nn.SyncBatchNorm))
    assert alone < kept_bytes(same, x) < 0.7 * kept_bytes(plain, x)
    plain, same = (model.double() for model in pair(norm_cfg=dict(type='SyncBN')))
    grads, own_grads = passes(plain, x)[1], passes(same, x)[1]
    assert all(off(own_grads[name], grad) < 1e-10 for name, grad in grads.items())


def test_dilated_convolutions_by_phases(monkeypatch):
    calls = []
    for name in ('by_phases', 'by_phases_back'):
        own = getattr(lean, name)
        monkeypatch.setattr(
            lean, name, lambda *args, own=own, name=name: calls.append(name) or own(*args)
        )
    plain, same = pair()
    x = torch.randn(2, 3, 50, 66)
    maps, grads, _ = passes(same, x)
    if torch.backends.mkldnn.is_available():
        assert calls == ['by_phases', 'by_phases_back']
    with torch.backends.mkldnn.flags(enabled=False):
        expected, expected_grads, _ = passes(plain, x)
    assert all(off(a, b) < 1e-5 for a, b in zip(maps, expected, strict=True))
    assert all(off(grads[name], grad) < 1e-4 for name, grad in expected_grads.items())


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16], ids=str)
def test_autocast_rounds_as_ever(dtype):
    plain, same = pair()
    x = torch.randn(2, 3, 64, 64)
    maps, grads, _ = passes(plain, x, dtype)
    own_maps, own_grads, _ = passes(same, x, dtype)
    exact = passes(plain.double(), x.double())[1]
    assert [m.dtype for m in own_maps] == [m.dtype for m in maps]
    eps = torch.finfo(dtype).eps
    for a, b in zip(own_maps, maps, strict=True):
        assert off(a, b) < 10 * eps
    # Rounding of single gradients is chance; that of all is not.
    errors = [
        sum(off(each[name], grad) for name, grad in exact.items() if 'norm.' not in name)
        for each in (own_grads, grads)
    ]
    assert errors[0] < 1.3 * errors[1]
    assert {g.dtype for g in own_grads.values()} == {torch.float32}


@pytest.mark.parametrize('half', ['autocast', 'weights'])
def test_what_overflows_float16_in_the_gate_stays_finite(half):
    for model in pair():
        block = model.block1[0]
        gate = block.attn.spatial_gating_unit
        with torch.no_grad():
            for conv in gate.chain():
                conv.weight.fill_(100.0)
            # What follows the gate has no such care.
            block.attn.proj_2.weight.fill_(1e-4)
        x = torch.rand(2, 8, 16, 16) * 100
        if half == 'weights':
            block, x = block.half(), x.half()
        x.requires_grad_()
        with torch.autocast('cpu', torch.float16, enabled=half == 'autocast'):
            out = block(x)
        (out.float().sum() * 1e-3).backward()
        assert out.isfinite().all()
        assert x.grad.isfinite().all() and x.grad.any()


def test_bytes_that_are_kept():
    """By the tables of the paper, mmpretrain's blocks keep what it has as 1."""
    from mmpretrain.models.backbones import VAN as Theirs

    # The shares of VAN-B2, in a quarter of its channels.
    arch = dict(embed_dims=[16, 32, 80, 128], depths=[3, 3, 12, 3], ffn_ratios=[8, 8, 4, 4])
    theirs = Theirs(arch=arch, out_indices=(0, 1, 2, 3))
    theirs.train()
    own = {**arch, 'mlp_ratios': arch['ffn_ratios']}
    del own['ffn_ratios']
    x = torch.rand(1, 3, 256, 256)
    base = kept_bytes(theirs, x)
    assert kept_bytes(VAN(own).train(), x) <= 0.95 * base
    assert kept_bytes(VAN(own, lean=True).train(), x) <= 0.42 * base


def test_the_count_of_complexity_sees_it():
    with torch.device('meta'):
        plain, same = VAN(TINY), VAN(TINY, lean=True)
    kept = [sum(count_training_memory(m, (2, 3, 64, 64)).kept.values()) for m in (plain, same)]
    assert kept[1] < 0.5 * kept[0]


HOOKS = {
    'forward': lambda module, see: module.register_forward_hook(lambda m, x, out: see(out)),
    'before': lambda module, see: module.register_forward_pre_hook(lambda m, x: see(None)),
    'backward': lambda module, see: module.register_full_backward_hook(lambda m, i, o: see(None)),
}


@pytest.mark.parametrize('kind', HOOKS)
@pytest.mark.parametrize(
    'place',
    ['norm1', 'attn', 'attn.activation', 'attn.proj_2', 'mlp', 'mlp.dwconv.dwconv', 'mlp.fc2'],
)
def test_hooks_are_called_and_see_what_they_saw(kind, place):
    seen = []
    for model in pair():
        block, values = model.block1[0], []
        HOOKS[kind](block.get_submodule(place), values.append)
        torch.manual_seed(0)
        block(torch.randn(2, 8, 9, 7, requires_grad=True)).sum().backward()
        seen.append(values)
    assert len(seen[0]) == len(seen[1]) == 1
    if kind == 'forward':
        torch.testing.assert_close(*(values[0] for values in seen))


class Doubled(nn.Conv2d):
    def forward(self, x):
        return 2 * super().forward(x)


def double_forward(block):
    forward = block.mlp.fc1.forward
    block.mlp.fc1.forward = lambda x: 2 * forward(x)


@pytest.mark.parametrize(
    'change',
    [
        lambda block: setattr(block.mlp, 'fc1', Doubled(8, 64, 1)),
        lambda block: setattr(block.mlp, 'fc2', nn.Conv2d(64, 8, 1)),
        lambda block: setattr(block.mlp, 'act', nn.GELU('tanh')),
        lambda block: setattr(block.mlp, 'act', nn.ReLU()),
        lambda block: setattr(block.mlp, 'mlp', nn.Identity()),
        lambda block: setattr(block, 'mlp', nn.Conv2d(8, 8, 3, padding=1)),
        lambda block: setattr(block.attn, 'proj_1', nn.Conv2d(8, 8, 1, bias=False)),
        lambda block: setattr(block.attn, 'proj_2', nn.Conv2d(8, 8, 1)),
        lambda block: setattr(block.mlp.dwconv.dwconv, 'padding_mode', 'reflect'),
        lambda block: setattr(block.mlp.drop, 'p', 0.5),
        lambda block: nn.utils.parametrizations.weight_norm(block.attn.proj_2),
        lambda block: nn.utils.parametrizations.weight_norm(block.mlp.fc1),
        double_forward,
    ],
)
def test_other_modules_compute_what_they_do(change):
    """Its modules called one by one, as :class:`mmattn.backbones.gated_pyramid.Block` says."""
    block = pair()[1].double().block1[0]
    change(block.float())
    block.double()
    x = torch.randn(2, 8, 9, 7, dtype=torch.float64)
    torch.manual_seed(0)
    y = x + block.layer_scale_1[:, None, None] * block.attn(block.norm1(x))
    expected = y + block.layer_scale_2[:, None, None] * block.mlp(block.norm2(y))
    torch.manual_seed(0)
    torch.testing.assert_close(block(x), expected)


def test_what_it_cannot_do_is_refused():
    with pytest.raises(InputError, match='VAN: expected lean or with_cp to be False'):
        VAN(TINY, lean=True, with_cp=True)
    with pytest.raises(InputError, match='VAN: expected drop_rate=0 with lean=True, got 0.1'):
        VAN(TINY, lean=True, drop_rate=0.1)


def test_a_second_derivative_is_refused():
    model = pair()[1]
    x = torch.rand(2, 3, 32, 32, requires_grad=True)
    [grad] = torch.autograd.grad(model(x)[0].sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match='once_differentiable'):
        grad.sum().backward()


def test_functional_call_and_frozen_parameters():
    plain, same = (model.double() for model in pair())
    x = torch.randn(2, 3, 33, 33, dtype=torch.float64)
    other = {name: p + 0.1 for name, p in plain.named_parameters()}
    for a, b in zip(*(torch.func.functional_call(m, other, x) for m in (same, plain)), strict=True):
        assert off(a, b) < 1e-12
    for model in (plain, same):
        model.block2[0].mlp.requires_grad_(False)
        model.block1[0].norm1.weight.requires_grad_(False)
    grads, own_grads = passes(plain, x)[1], passes(same, x)[1]
    assert own_grads['block2.0.mlp.fc2.weight'] is None
    assert all(g is None or off(own_grads[name], g) < 1e-10 for name, g in grads.items())


@pytest.mark.parametrize('is_lean', [False, True])
def test_training_compiles_without_a_break(is_lean):
    block = pair()[is_lean].block1[0]
    x = torch.randn(2, 8, 9, 7)
    expected = block(x)
    compiled = torch.compile(block, backend='aot_eager', fullgraph=True)
    out = compiled(x)
    out.sum().backward()
    torch.testing.assert_close(out, expected)


def test_losses_of_a_training():
    """By the same steps with and without the option, and by the plain sums of an older form."""
    losses = []
    for options in ({}, dict(lean=True), dict(with_cp=True)):
        torch.manual_seed(0)
        model = VAN({**TINY, 'depths': (1, 1, 1, 1)}, drop_path_rate=0.1, **options)
        model.init_weights()
        head = nn.Linear(32, 4)
        optimizer = torch.optim.AdamW([*model.parameters(), *head.parameters()], lr=1e-3)
        model.train()
        own = []
        for _ in range(20):
            x = torch.rand(4, 3, 48, 48)
            label = (x.mean((1, 2, 3)) * 1e3).long() % 4
            loss = nn.functional.cross_entropy(head(model(x)[-1].mean((2, 3))), label)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            own.append(loss.item())
        losses.append(own)
    for other in losses[1:]:
        assert other == pytest.approx(losses[0], rel=2e-3)


@needs_torch('2.6', 'FSDP2')
def test_two_ranks(tmp_path):
    command = [sys.executable, str(Path(__file__).with_name('lean_ranks.py'))]
    ranks = [
        subprocess.Popen([*command, str(rank), str(tmp_path / 'store')], env=ENV) for rank in (0, 1)
    ]
    assert [rank.wait(timeout=300) for rank in ranks] == [0, 0]
