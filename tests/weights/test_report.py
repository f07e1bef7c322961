"""What is said of weights and a module, case by case."""

import random
import re
from collections import Counter

import pytest
import torch
from torch import nn

from mmattn import SE, VAN, CoordAttMobileNetV2
from mmattn.errors import InputError
from mmattn.weights.fit import fit_weights
from mmattn.weights.reading import weights_in
from mmattn.weights.report import is_head


def report(module, state_dict):
    return fit_weights(weights_in(state_dict, 'a.pth'), module).report


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(2, 2)
        self.b = nn.Linear(2, 2)
        self.norm1 = nn.LayerNorm(2)


def with_extra(name, before):
    """Weights of a net with one more tensor, before another one or at the end."""
    items = [(key, value) for key, value in Net().state_dict().items() if key != before]
    i = [*Net().state_dict()].index(before) if before else len(items)
    extra = [(name, torch.rand(2))]
    extra += [(before, Net().state_dict()[before])] if before else []
    return dict([*items[:i], *extra, *items[i:]])


@pytest.mark.parametrize(
    ('name', 'before', 'left'),
    [
        ('a.more.weight', 'b.weight', True),
        ('a.more.bias', 'norm1.bias', True),
        # A network that goes on behind the last tensor was cut off on purpose.
        ('a.more.weight', None, False),
        # A constant.
        ('a.more.index', 'b.weight', False),
        # A part that was not built.
        ('c.weight', 'b.weight', False),
    ],
)
def test_what_is_left_inside(name, before, left):
    found = report(Net(), with_extra(name, before))
    assert found.left_inside == ((name,) if left else ())
    assert found.unused == found.foreign == (name,)
    assert bool(found.faults()) == left


ARCH = dict(embed_dims=(8, 16), depths=(1, 1), mlp_ratios=(2, 2))


def counts_in(line):
    """Read the four counts of a refusal."""
    told = re.search(r': (\d+) of (\d+) tensors fit(, \d+ do not)?(, \d+ are left over)? \(', line)
    return [int(re.sub(r'\D', '', text or '0')) for text in told.groups()]


def test_what_fits_and_what_does_not_add_up():
    draw = random.Random(0)
    ours, seen = Net().state_dict(), Counter()
    for _ in range(200):
        gone, reshaped = (set(draw.sample([*ours], draw.randint(0, 3))) for _ in range(2))
        more = {
            f'{draw.choice("abc")}.x{i}.weight': torch.ones(1) for i in range(draw.randint(0, 3))
        }
        items = [(k, torch.ones(7) if k in reshaped else v) for k, v in ours.items()]
        items = [(k, v) for k, v in items if k not in gone] + [*more.items()]
        draw.shuffle(items)
        how = draw.choice([dict(exact=True), dict(only_heads_left=True), {}])
        found = report(Net(), dict(items))
        try:
            found.refuse_or_log(**how)
        except InputError as error:
            fit, total, unfit, left = counts_in(str(error))
            assert fit == len(ours) - len(gone | reshaped) and total == fit + unfit
            assert unfit + left == len(found.faults(**how)) > 0
            assert left <= len(more) and (left == len(more) or not how)
            # An output norm may be new.
            assert total == len(ours) or not how.get('exact')
            seen[bool(unfit), bool(left)] += 1
    assert len(seen) == 3, seen


def test_keys_that_are_left_are_no_tensors_that_do_not_fit():
    more = {f'b.{i}.weight': torch.ones(1) for i in range(67)}
    with pytest.raises(InputError) as raised:
        report(Net(), {**Net().state_dict(), **more}).refuse_or_log(exact=True)
    assert str(raised.value) == (
        'a.pth is of another architecture than this Net: 6 of 6 tensors fit, 67 are left over '
        '(b.0.weight: missing here; b.1.weight: missing here; ...); use weights of this '
        'architecture'
    )


def test_keys_of_an_exchanged_slot_are_known():
    source = CoordAttMobileNetV2(out_indices=(6,))
    found = report(CoordAttMobileNetV2(attention=None, out_indices=(6,)), source.state_dict())
    assert found.unused and all('.attention.' in key for key in found.unused)
    assert found.foreign == found.left_inside == ()
    assert not found.faults(only_heads_left=True)


def test_an_output_norm_of_an_own_backbone_is_missing():
    van = VAN(ARCH, out_indices=(0, 1))
    state_dict = {k: v for k, v in van.state_dict().items() if k != 'norm2.weight'}
    found = report(van, state_dict)
    assert found.missing == ('norm2.weight',) and not found.new


def test_an_output_norm_of_another_host_is_new():
    state_dict = {k: v for k, v in Net().state_dict().items() if k != 'norm1.weight'}
    found = report(Net(), state_dict)
    assert found.new == {'norm1.weight': 'output norm'} and not found.missing


class Scalar(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(()))


@pytest.mark.parametrize(('shape', 'fits'), [((), True), ((1,), True), ((2,), False)], ids=str)
def test_one_number_for_a_scalar(shape, fits):
    module = Scalar()
    fit = fit_weights(weights_in(dict(scale=torch.full(shape, 3.0)), 'a.pth'), module)
    assert fit.report.loaded == (('scale',) if fits else ())
    assert fit.report.other_shape == ({} if fits else {'scale': (shape, ())})
    assert module.scale == 0
    fit.load()
    assert module.scale == (3 if fits else 0)


def test_a_scalar_for_one_number_is_of_another_shape():
    module = nn.PReLU()
    assert report(module, dict(weight=torch.tensor(3.0))).loaded == ()


@pytest.mark.parametrize(
    ('name', 'yes'),
    {
        'fc.weight': True,
        'classifier.weight': True,
        'classifier.1.weight': True,
        'head.fc.bias': True,
        'decode_head.conv_seg.weight': True,
        'roi_head.bbox_head.fc_cls.weight': True,
        'heads.0.weight': True,
        'model.head.weight': True,
        'fcn.weight': False,
        'fcn.0.weight': False,
        'classifiers.weight': False,
        'layer.fc.weight': False,
        'header.weight': False,
        'head': False,
    }.items(),
)
def test_heads_are_told_by_their_names(name, yes):
    assert is_head(name) == yes


def test_all_that_does_not_fit_is_listed():
    module = nn.Sequential(nn.Conv2d(3, 4, 1), SE(4, reduction=2))
    theirs = {'0.weight': torch.zeros(4, 3, 1, 1), 'head.weight': torch.zeros(1)}
    ours = {f'1.{name}': tuple(value.shape) for name, value in module[1].state_dict().items()}
    name, shape = next(iter(ours.items()))
    found = report(module, {**theirs, name: torch.zeros(7)})
    assert found.faults() == ['0.bias: missing there']
    listing = found.listing()
    assert list(listing) == ['missing there', 'new (attention)', 'unused']
    assert listing['missing there'] == ['0.bias']
    assert listing['unused'] == ['head.weight']
    assert set(listing['new (attention)']) == {
        f'{name}: (7,) there, {shape} here',
        *(other for other in ours if other != name),
    }
