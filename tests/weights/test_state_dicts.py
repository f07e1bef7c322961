"""Where weights are in a checkpoint, and under which names."""

import itertools

import pytest
import torch
from mmengine.runner import CheckpointLoader
from torch import nn

from mmattn.errors import InputError
from mmattn.weights.fit import fit_weights
from mmattn.weights.reading import read_weights, weights_in
from mmattn.weights.state_dicts import _ENTRIES, find_entry, find_state_dict

A, B = torch.zeros(2), torch.ones(2)


@pytest.mark.parametrize('entry', _ENTRIES)
def test_each_entry_is_found(entry):
    checkpoint = {entry: {'x': A}, 'epoch': 3, 'optimizer': {'state': {}}}
    assert find_state_dict(checkpoint)['x'] is A
    assert find_entry(checkpoint)[1] == ''


def test_of_two_entries_the_plainer_one_is_taken_and_that_is_said():
    for one, other in itertools.combinations(_ENTRIES, 2):
        checkpoint = {other: {'x': B}, one: {'x': A}}
        assert find_state_dict(checkpoint)['x'] is A
        assert find_entry(checkpoint)[1] == f' [{one}, not {other}]'


@pytest.mark.parametrize(
    'checkpoint',
    [
        {'x': A},
        {'x': A, 'epoch': 3, 5: A},
        {'x': A, 'model': 'resnet50', 'ema': 0.9, 'params': {'lr': 1}},
        {'model': 'resnet50', 'state_dict': {'x': A}},
        {'model': {'type': 'ResNet'}, 'net': {'x': A}},
        {'model': {'state_dict': {'x': A}}},
        {'state_dict_ema': None, 'state_dict': {'x': A}},
    ],
    ids=lambda checkpoint: '-'.join(map(str, checkpoint)),
)
def test_what_else_lies_there_is_no_weight(checkpoint):
    [(name, tensor)] = find_state_dict(checkpoint).items()
    assert name == 'x' and tensor is A
    assert find_entry(checkpoint)[1] == ''


def test_no_state_dict():
    for wrong, kind in (([A], 'list'), ('resnet50', 'str')):
        with pytest.raises(InputError) as raised:
            find_state_dict({'state_dict': wrong})
        assert str(raised.value) == (
            f'the state_dict of a checkpoint is a {kind}; expected a dict of tensors'
        )


def test_a_checkpoint_that_holds_itself_has_no_weights():
    checkpoint = {}
    checkpoint['model'] = checkpoint
    assert find_state_dict(checkpoint) == {}


@pytest.mark.parametrize(
    ('key', 'name'),
    {
        'module.x.weight': 'x.weight',
        '_orig_mod.x.weight': 'x.weight',
        'module._orig_mod.x.weight': 'x.weight',
        '_orig_mod.module.x.weight': 'x.weight',
        'backbone._orig_mod.x.weight': 'backbone.x.weight',
        'a._fsdp_wrapped_module._checkpoint_wrapped_module.x': 'a.x',
        'my_orig_mod.x': 'my_orig_mod.x',
        'x.module.weight': 'x.module.weight',
    }.items(),
)
def test_wrappers_leave_no_name(key, name):
    assert [*find_state_dict({key: A})] == [name]


@pytest.mark.parametrize('entry', [None, 'model', 'state_dict_ema', 'teacher'])
@pytest.mark.parametrize('wrap', ['', '_orig_mod.', 'module._orig_mod.'])
def test_all_who_read_a_file_find_its_weights(tmp_path, entry, wrap):
    weights = {f'{wrap}x': A}
    torch.save({entry: weights, 'epoch': 3} if entry else weights, tmp_path / 'a.pth')
    checkpoint = CheckpointLoader.load_checkpoint(str(tmp_path / 'a.pth'))
    assert (checkpoint if entry is None else checkpoint['state_dict']).keys() == {'x'}
    assert read_weights(str(tmp_path / 'a.pth')).tensors.keys() == {'x'}


def test_the_report_names_the_entry_that_was_taken(tmp_path):
    state_dict = nn.Linear(2, 2).state_dict()
    torch.save({'model': state_dict, 'model_ema': state_dict}, tmp_path / 'a.pth')
    torch.save({'model': state_dict, 'model_ema': {'x': A}, 'ema': {'y': A}}, tmp_path / 'b.pth')
    for name, choice in (('a', ''), ('b', ' [model, not model_ema or ema]')):
        path = str(tmp_path / f'{name}.pth')
        report = fit_weights(read_weights(path), nn.Linear(2, 2)).report
        assert report.line() == f'{path}{choice}: 2/2 host tensors loaded'


class Compiled(nn.Module):
    """As torch.compile wraps a module."""

    def __init__(self):
        super().__init__()
        self._orig_mod = nn.Linear(2, 2)


def test_a_module_that_is_compiled_gets_what_is_meant_for_it():
    for source in (nn.Linear(2, 2), Compiled()):
        module = Compiled()
        fit = fit_weights(weights_in(source.state_dict(), 'a.pth'), module)
        fit.refuse_or_report(exact=True)
        fit.load()
        assert [*map(torch.equal, module.parameters(), source.parameters())] == [True, True]
