"""One forward of a copy tells the shapes and leaves no trace."""

import dataclasses
import random
import warnings
from contextlib import contextmanager
from copy import deepcopy

import numpy as np
import pytest
import torch
from mmengine.model import BaseModule
from torch import nn

from mmattn import VAN
from mmattn.errors import InputError
from mmattn.probe.dry_run import dry_run, value_run

TINY = dict(embed_dims=(8, 8, 16, 16), depths=(1, 1, 1, 1), mlp_ratios=(2, 2, 2, 2))


class Host(nn.Module):
    """A convolution followed by whatever a test asks about."""

    def __init__(self, tail=None):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.tail = tail or nn.Identity()

    def forward(self, x):
        return self.tail(self.conv(x))


def random_states():
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


def attributes(host):
    return {
        name: {k: v for k, v in vars(module).items() if not k.startswith('_')}
        for name, module in host.named_modules()
    }


class Restless(nn.Module):
    """Does in a forward everything that a dry run has to undo."""

    def __init__(self):
        super().__init__()
        self.register_buffer('count', torch.zeros(1))
        self.seen = []

    def forward(self, x):
        self.count += 1
        self.seen.append(x.shape)
        self.last = x
        random.random(), np.random.rand(), torch.rand(1)
        return x + float(x.mean())


@pytest.mark.parametrize('run', [dry_run, value_run])
@pytest.mark.parametrize(
    'host',
    [Host(nn.BatchNorm2d(8)), Host(Restless()), VAN(TINY, drop_path_rate=0.5)],
    ids=['batch norm', 'needs values', 'VAN'],
)
def test_the_host_and_the_random_states_stay_as_found(host, run):
    host.train()
    weights = deepcopy(host.state_dict())
    ids = [id(p) for p in host.parameters()]
    found = deepcopy(attributes(host))
    states = random_states()

    run(host)

    assert random_states() == states
    assert attributes(host) == found
    assert [id(p) for p in host.parameters()] == ids
    assert all(torch.equal(v, weights[k]) for k, v in host.state_dict().items())
    assert all(p.grad is None for p in host.parameters())
    assert all(m.training for m in host.modules())


def test_nothing_that_the_host_says_comes_through(capsys):
    class Talkative(nn.Module):
        def forward(self, x):
            print('shape', x.shape)
            warnings.warn('deprecated', stacklevel=1)
            return x

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        dry_run(Host(Talkative()))
    assert capsys.readouterr() == ('', '')
    assert not caught


def test_records_hold_shapes_in_the_order_of_the_calls():
    run = dry_run(Host(nn.Conv2d(8, 4, 1)))
    height, width = run.image
    assert list(run.records) == ['', 'conv', 'tail']
    assert run.records['conv'].type is nn.Conv2d
    assert run.records['conv'].args[0].shape == (1, 3, height, width)
    assert run.records['tail'].output.shape == (1, 4, height // 2, width // 2)
    assert run.records['tail'].output.is_meta
    assert height != width


@dataclasses.dataclass
class Outputs:
    maps: tuple
    named: dict
    note: str


def test_structures_are_kept_as_the_host_has_them():
    class Tail(nn.Module):
        def forward(self, x, scale=1):
            return Outputs(maps=(x, [x]), named=dict(a=x), note='as is')

    class Outer(Host):
        def forward(self, x):
            return self.tail(self.conv(x), scale=2)

    record = dry_run(Outer(Tail())).records['tail']
    assert record.kwargs == dict(scale=2)
    assert record.output.note == 'as is'
    shapes = [record.output.maps[0], record.output.maps[1][0], record.output.named['a']]
    assert {tuple(t.shape) for t in shapes} == {(1, 8, 128, 160)}


def test_a_module_that_never_ran_has_no_record():
    class Branch(nn.Module):
        def __init__(self):
            super().__init__()
            self.used = nn.ReLU()
            self.unused = nn.ReLU()

        def forward(self, x):
            return self.unused(x) if self.training else self.used(x)

    records = dry_run(Host(Branch())).records
    assert 'tail.used' in records
    assert 'tail.unused' not in records


def test_a_forward_that_is_called_directly_is_recorded_and_each_call_is_counted():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(8, 8, 1)

        def forward(self, x):
            return self.conv.forward(self.conv(x[:, :, ::2]))

    record = dry_run(Host(Twice())).records['tail.conv']
    assert record.calls == 2
    assert record.args[0].shape == (1, 8, 64, 160)


def test_an_encoder_layer_of_torch_runs_its_submodules():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

        def forward(self, x):
            return self.layer(x[:, :, ::32, ::32].flatten(2).transpose(1, 2))

    assert 'tail.layer.linear1' in dry_run(Host(Tokens())).records


def test_a_host_on_the_meta_device_runs_there():
    with torch.device('meta'):
        host = VAN(TINY)
    assert dry_run(host).records[''].output[0].shape[:2] == (1, 8)


def test_half_precision_hosts_are_given_half_precision():
    assert dry_run(Host().half()).records['conv'].output.dtype == torch.float16


class Square(BaseModule):
    def __init__(self, side):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 4, 4)
        self.img_size = side

    def forward(self, x):
        assert x.shape[2:] == (self.img_size, self.img_size)
        return self.conv(x)


@pytest.mark.parametrize('side', [224, 96])
def test_a_host_that_insists_on_a_size_is_given_its_own(side):
    assert dry_run(Square(side)).image == (side, side)


class Maps(nn.Module):
    """A neck without attributes that tell what it takes."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(5, 5), nn.Linear(7, 7)

    def forward(self, maps):
        x, y = maps
        return self.a(x.movedim(1, -1)), self.b(y.movedim(1, -1))


@pytest.mark.parametrize(('device', 'size'), [('cpu', '128x192'), ('meta', '256x320')])
def test_a_host_that_cannot_be_guessed_is_one_error_that_says_what_to_give(device, size):
    message = rf'expected Maps to run once.*on 1x3x{size}: ValueError.*input_shape='
    with pytest.raises(InputError, match=message) as e:
        dry_run(Maps().to(device))
    assert '\n' not in str(e.value)


def test_a_given_shape_is_taken():
    records = dry_run(Maps(), input_shape=[(5, 8, 6), (7, 4, 3)]).records
    assert records['b'].args[0].shape == (1, 4, 3, 7)
    assert dry_run(Host(), input_shape=(3, 64, 48)).image == (64, 48)


def test_a_given_shape_that_does_not_fit_is_one_error():
    with pytest.raises(InputError, match=r'Maps to run once on input_shape=\(5, 8, 6\)') as e:
        dry_run(Maps(), input_shape=(5, 8, 6))
    assert '\n' not in str(e.value)


def test_a_run_with_values_is_repeated_on_the_same_input():
    class Draws(nn.Conv2d):
        def forward(self, x):
            return super().forward(x) + torch.rand(1) + random.random() + np.random.rand()

    host = Draws(3, 4, 1).double()
    run, output = value_run(host, (3, 6, 5))
    assert output.shape == (1, 4, 6, 5) and output.dtype == torch.float64
    seen = []

    @contextmanager
    def watch(twin):
        seen.append(twin)
        yield

    assert torch.equal(run.repeat(host, watch), output)
    assert len(seen) == 1 and seen[0] is not host and seen[0].weight is host.weight
    assert run.repeat(nn.Identity()).dtype == torch.float64


def test_a_host_that_runs_on_no_values_is_one_error_about_the_likeliest_input():
    message = r'expected Maps to run once.*on 1x3x128x192: ValueError.*input_shape='
    with pytest.raises(InputError, match=message):
        value_run(Maps())
    with pytest.raises(InputError, match=r'Maps to run once on input_shape=\(5, 8, 6\)'):
        value_run(Maps(), (5, 8, 6))
