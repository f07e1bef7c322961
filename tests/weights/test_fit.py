import copy
from contextlib import nullcontext

import pytest
import torch
from mmengine.model import BaseModule
from torch import nn

from mmattn import ECA, VAN
from mmattn.errors import InputError
from mmattn.weights.fit import fit_weights
from mmattn.weights.reading import weights_in
from mmattn.weights.watch import report_loads


class Net(BaseModule):
    def __init__(self, width=3, extra=False, blocks=1, attention=False, **options):
        super().__init__(**options)
        self.body = nn.Sequential(nn.Conv2d(3, width, 1), nn.BatchNorm2d(width))
        self.blocks = nn.Sequential(*(nn.Conv2d(width, width, 1) for _ in range(blocks)))
        if attention:
            self.attention = ECA(width)
        self.last = nn.Conv2d(width, 2, 1)
        self.head = nn.Linear(width, 2)
        if extra:
            self.extra = nn.Linear(2, 2)


@pytest.fixture
def log(monkeypatch):
    lines = []
    monkeypatch.setattr('mmattn.weights.report.print_log', lambda line, **_: lines.append(line))
    return lines


def load(net, state_dict, **how):
    fit = fit_weights(weights_in(state_dict, 'a.pth'), net)
    fit.refuse_or_report(**how)
    fit.load()


def assert_same(a, b):
    assert a.keys() == b.keys()
    assert all(torch.equal(value, b[key]) for key, value in a.items())


def without(state_dict, *keys):
    return {key: value for key, value in state_dict.items() if key not in keys}


def test_a_perfect_fit(log):
    source, net = Net(), Net()
    load(net, source.state_dict(), exact=True)
    assert log == ['a.pth: 13/13 host tensors loaded']
    assert_same(net.state_dict(), source.state_dict())


def test_heads_may_differ(log):
    source, net = Net(), Net()
    state_dict = without(source.state_dict(), 'head.bias')
    state_dict.update({'head.weight': torch.rand(5, 3), 'head.more': torch.rand(1)})
    before = net.head.weight.clone()
    load(net, state_dict, only_heads_left=True)
    assert torch.equal(net.head.weight, before)
    assert torch.equal(net.body[0].weight, source.body[0].weight)
    assert log == [
        'a.pth: 11/11 host tensors loaded, 2 new (all head; 1 of another shape there), '
        '1 unused (head.*)'
    ]


def test_attention_may_be_new(log):
    net = Net(attention=True)
    load(net, without(Net().state_dict(), 'head.bias'))
    assert log == ['a.pth: 12/12 host tensors loaded, 2 new (1 attention, 1 head)']


def test_what_only_the_file_has_is_grouped(log):
    names = ['a.x', 'a.y', 'b.x', 'c', 'd.x']
    extra = {name: torch.rand(1) for name in names}
    load(Net(), {**Net().state_dict(), **extra})
    assert log == ['a.pth: 13/13 host tensors loaded, 5 unused (a.*, b.*, c, ...)']


@pytest.mark.parametrize(
    ('state_dict', 'message'),
    [
        (
            Net(4).state_dict(),
            r'3 of 12 tensors fit, 9 do not \(body\.0\.weight: shape \(4, 3, 1, 1\) there, '
            r'\(3, 3, 1, 1\) here; body\.0\.bias: .*; \.\.\.\)',
        ),
        (
            without({**Net().state_dict(), 'bodies.0.weight': torch.rand(1)}, 'body.0.weight'),
            r'body\.0\.weight: missing there, nearest is bodies\.0\.weight\)',
        ),
        (
            Net(blocks=2).state_dict(),
            r'13 of 13 tensors fit, 2 are left over \(blocks\.1\.weight: missing here',
        ),
        ({}, r'0 of 10 tensors fit'),
    ],
    ids=['shape', 'missing', 'more blocks', 'empty'],
)
def test_refuses_another_architecture(state_dict, message):
    net = Net()
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(
        InputError, match=r'^a\.pth is of another architecture than this Net: .*' + message
    ):
        load(net, state_dict)
    assert_same(net.state_dict(), before)


@pytest.mark.parametrize(
    ('options', 'net', 'state_dict', 'message'),
    [
        (dict(exact=True), Net(attention=True), Net().state_dict(), r'attention\.conv\.weight'),
        (dict(exact=True), Net(), without(Net().state_dict(), 'head.bias'), r'head\.bias: missing'),
        (dict(exact=True), Net(), {**Net().state_dict(), 'head.more': torch.rand(1)}, 'head.more'),
        (dict(only_heads_left=True), Net(), Net(extra=True).state_dict(), 'extra.weight: missing'),
    ],
    ids=['new attention', 'new head', 'head left', 'other part left'],
)
def test_refuses_more_when_told(options, net, state_dict, message):
    load(copy.deepcopy(net), state_dict)
    with pytest.raises(InputError, match=message):
        load(net, state_dict, **options)


def test_counters_of_batch_norm_may_be_missing(log):
    state_dict = without(Net().state_dict(), 'body.1.num_batches_tracked')
    load(Net(), state_dict, exact=True)
    assert log == ['a.pth: 12/12 host tensors loaded']


class Renaming(nn.Module):
    """As modules of other packages are: one name changes, and a hook changes a shape."""

    def __init__(self):
        super().__init__()
        self.positions = nn.Parameter(torch.zeros(4))
        self.inner = nn.Linear(2, 2, bias=False)
        self._register_load_state_dict_pre_hook(self._resize)

    def _resize(self, state_dict, prefix, *_):
        state_dict[f'{prefix}positions'] = state_dict[f'{prefix}positions'].repeat(2)[:4]

    def _load_from_state_dict(self, state_dict, prefix, *args):
        if f'{prefix}old.weight' in state_dict:
            state_dict[f'{prefix}inner.weight'] = state_dict.pop(f'{prefix}old.weight')
        super()._load_from_state_dict(state_dict, prefix, *args)


def test_what_modules_convert_themselves_fits(log):
    net = nn.ModuleDict(dict(a=Renaming()))
    old = {'a.positions': torch.tensor([1.0, 2.0]), 'a.old.weight': torch.rand(2, 2)}
    fit = fit_weights(weights_in(old, 'a.pth'), net)
    assert not net.a.positions.any()
    fit.refuse_or_report(exact=True)
    fit.load()
    assert log == ['a.pth: 2/2 host tensors loaded']
    assert net.a.positions.tolist() == [1, 2, 1, 2]
    assert torch.equal(net.a.inner.weight, old['a.old.weight'])


@pytest.mark.parametrize('watched', [False, True])
@pytest.mark.parametrize('strict', [False, True])
def test_a_backbone_of_ours_takes_its_pretrained_weights_whole_or_not_at_all(
    log, tmp_path, watched, strict
):
    arch = dict(embed_dims=(8, 16), depths=(1, 1), mlp_ratios=(2, 2))
    weights = VAN(arch, out_indices=(0, 1)).state_dict()
    torch.save(
        {**weights, 'norm2.weight': torch.rand(3), 'other.weight': torch.rand(3)},
        tmp_path / 'a.pth',
    )
    cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'a.pth'), strict_pretrained=strict)
    van = VAN(arch, out_indices=(0, 1), init_cfg=cfg)
    before = copy.deepcopy(van.state_dict())
    refused = pytest.raises(InputError) if strict else nullcontext()
    with refused, report_loads(van) if watched else nullcontext():
        van.init_weights()
    if strict:
        assert_same(van.state_dict(), before)
        assert log == []
    else:
        expected = {**weights, 'norm2.weight': before['norm2.weight']}
        assert_same(van.state_dict(), expected)
        [line] = log
        assert line.startswith(f'pretrained {tmp_path / "a.pth"} (released VAN layout): ')
        assert line.endswith(', 1 of another shape (norm2.weight), 1 unused (other.*)')


def test_weights_under_a_prefix():
    weights = weights_in({'backbone.a': torch.rand(1), 'head.b': torch.rand(1)}, 'a.pth')
    inner = weights.under('backbone.')
    assert ([*inner.tensors], inner.aside) == (['a'], ('head.b',))
    assert weights.under('model.') is weights
