import pytest
import torch
from torch import nn

import mmattn
from mmattn import InsertAttention
from mmattn.errors import InputError
from mmattn.inspection.sites import attention_sites, blend_factors, unwrapped
from tests.inspection.toy import ToyAttentive


def inserted(*places):
    host = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1))
    sites = [{place: '1', 'attention': dict(type='ECA')} for place in places]
    return InsertAttention(host, sites, input_shape=(3, 16, 16))


def test_names_every_attention_and_fusion_module():
    model = ToyAttentive()
    assert attention_sites(model) == {
        'coord': model.coord,
        'cbam': model.cbam,
        'fusion': model.fusion,
    }


def test_leaves_what_every_inserted_module_has_out_of_a_name():
    assert [*attention_sites(inserted('after', 'before'))] == ['1.eca', '1.before.eca']


def test_keeps_names_apart():
    model = inserted('before')
    twin = nn.Sequential()
    twin.add_module('eca', mmattn.ECA(8))
    model[1].add_module('before', twin)
    assert {*attention_sites(model)} == {'1.inserted_attention_before.eca', '1.before.eca'}


def test_the_model_itself_may_be_one():
    assert [*attention_sites(mmattn.ECA(8))] == ['(the model)']


@pytest.mark.parametrize('pattern', [r'\d\.eca', r'.*inserted_attention\.eca'])
def test_a_pattern_is_that_of_a_short_or_of_a_whole_name(pattern):
    assert [*attention_sites(inserted('after', 'before'), pattern)] == ['1.eca']


@pytest.mark.parametrize(
    ('pattern', 'message'),
    [
        ('eca', "--site 'eca' matches no attention .*; did you mean '1.eca', with its prefix?"),
        (r'1\.ecb', "--site '1.*ecb' matches no .* module; the nearest names are '1.eca'"),
        ('(', r"--site '\(' is no regular expression"),
    ],
)
def test_refuses_a_pattern(pattern, message):
    with pytest.raises(InputError, match=message):
        attention_sites(inserted('after'), pattern)


def test_refuses_a_model_without():
    with pytest.raises(InputError, match='Linear has no attention and no fusion module of mmattn'):
        attention_sites(nn.Linear(2, 2))


def test_a_wrapped_model_has_the_names_of_the_model():
    model = ToyAttentive()
    compiled = torch.compile(model, backend='eager')
    assert unwrapped(compiled) is model
    assert [*attention_sites(compiled)] == [*attention_sites(model)]


def test_blend_factors_are_those_of_the_modules_that_have_one():
    model = ToyAttentive()
    model.fusion.register_parameter('blend', nn.Parameter(torch.arange(8.0).view(8, 1, 1)))
    assert blend_factors(model) == {'coord': [0.25], 'fusion': [0, 1, 2, 3, 4, 5, 6, 7]}
