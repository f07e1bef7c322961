"""The factor by which a module is blended into its host under an identity start."""

import pytest
import torch
from torch import nn

from mmattn.attention import SE
from mmattn.layers.blend import Blended

LARGEST = torch.finfo(torch.float16).max


def blended(blend):
    module = Blended(2, 'identity', None)
    nn.init.constant_(module.blend, blend)
    return module.half()


def test_difference_that_overflows_float16_is_not_nan():
    out, plain = (torch.full((1, 2, 1, 1), value).half() for value in (-6e4, 6e4))
    assert torch.equal(blended(0).blend_in(out, plain), plain)
    assert torch.equal(blended(1).blend_in(out, plain), out)


def test_result_that_overflows_float16_is_its_largest_value():
    out, plain = (torch.full((1, 2, 1, 1), value).half() for value in (6e4, 4e4))
    assert (blended(2).blend_in(out, plain) == LARGEST).all()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_result_has_the_type_of_the_host(dtype):
    plain = torch.rand(1, 2, 3, 3, dtype=dtype)
    module = Blended(2, 'identity', None)
    nn.init.constant_(module.blend, 0.5)
    out = module.blend_in(torch.rand(1, 2, 3, 3), plain)
    assert out.dtype == dtype


def test_what_was_trained_survives_another_initialization():
    module = SE(16, start='identity')
    nn.init.ones_(module.blend)
    module.init_weights()
    assert module.blend == 0
    nn.init.constant_(module.blend, 0.5)
    module.init_weights()
    assert module.blend == 0.5


class Released(Blended):
    released_names = {'old.': 'layer.', 'gamma.scale': 'gamma'}

    def __init__(self):
        super().__init__(2, 'paper', None)
        self.layer = nn.Linear(3, 2)
        self.gamma = nn.Parameter(torch.zeros(1))


def released(layer, shape, gamma):
    weights = {f'{layer}.weight': torch.rand(shape), f'{layer}.bias': torch.rand(2)}
    return {f'0.{key}': value for key, value in {gamma: torch.rand(()), **weights}.items()}


@pytest.mark.parametrize('layer', ['old', 'layer'])
@pytest.mark.parametrize('gamma', ['gamma.scale', 'gamma'])
@pytest.mark.parametrize('shape', [(2, 3), (2, 3, 1, 1)], ids=str)
def test_released_names_load_as_they_are(layer, gamma, shape):
    state_dict = released(layer, shape, gamma)
    keys = [*state_dict]
    model = nn.Sequential(Released())
    model.load_state_dict(state_dict, strict=True)
    for theirs, ours in zip(state_dict.values(), model.state_dict().values(), strict=True):
        assert torch.equal(theirs.flatten(), ours.flatten())
    assert [*state_dict] == keys


@pytest.mark.parametrize('shape', [(3, 2), (2, 3, 2), (2, 1, 3), (6,)], ids=str)
def test_released_tensors_of_another_shape_are_refused(shape):
    with pytest.raises(RuntimeError, match=r'0\.layer\.weight: copying a param with shape'):
        nn.Sequential(Released()).load_state_dict(released('old', shape, 'gamma'))
