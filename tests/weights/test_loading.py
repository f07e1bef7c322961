import copy

import pytest
import torch
from mmengine.model import BaseModule
from torch import nn

from mmattn import ECA
from mmattn.errors import InputError
from mmattn.weights.loading import load_accounted


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
    monkeypatch.setattr('mmattn.weights.loading.print_log', lambda line, **_: lines.append(line))
    return lines


def assert_same(a, b):
    assert a.keys() == b.keys()
    assert all(torch.equal(value, b[key]) for key, value in a.items())


def without(state_dict, *keys):
    return {key: value for key, value in state_dict.items() if key not in keys}


def test_a_perfect_fit(log):
    source, net = Net(), Net()
    load_accounted(net, source.state_dict(), source='a.pth', exact=True)
    assert log == ['a.pth: 13/13 host tensors loaded']
    assert_same(net.state_dict(), source.state_dict())


def test_heads_may_differ(log):
    source, net = Net(), Net()
    state_dict = without(source.state_dict(), 'head.bias')
    state_dict.update({'head.weight': torch.rand(5, 3), 'head.more': torch.rand(1)})
    before = net.head.weight.clone()
    load_accounted(net, state_dict, source='a.pth', only_heads_left=True)
    assert torch.equal(net.head.weight, before)
    assert torch.equal(net.body[0].weight, source.body[0].weight)
    assert log == [
        'a.pth: 11/11 host tensors loaded, 2 new (all head; 1 of another shape there), '
        '1 unused (head.*)'
    ]


def test_attention_may_be_new(log):
    net = Net(attention=True)
    load_accounted(net, without(Net().state_dict(), 'head.bias'), source='a.pth')
    assert log == ['a.pth: 12/12 host tensors loaded, 2 new (1 attention, 1 head)']


def test_what_only_the_file_has_is_grouped(log):
    names = ['a.x', 'a.y', 'b.x', 'c', 'd.x']
    extra = {name: torch.rand(1) for name in names}
    load_accounted(Net(), {**Net().state_dict(), **extra}, source='a.pth')
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
        (Net(blocks=2).state_dict(), r'13 of 13 .*, 2 do not \(blocks\.1\.weight: missing here'),
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
        load_accounted(net, state_dict, source='a.pth')
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
    load_accounted(copy.deepcopy(net), state_dict, source='a.pth')
    with pytest.raises(InputError, match=message):
        load_accounted(net, state_dict, source='a.pth', **options)


def test_counters_of_batch_norm_may_be_missing(log):
    state_dict = without(Net().state_dict(), 'body.1.num_batches_tracked')
    load_accounted(Net(), state_dict, source='a.pth', exact=True)
    assert log == ['a.pth: 12/12 host tensors loaded']
