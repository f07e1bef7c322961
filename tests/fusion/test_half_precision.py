"""Where half precision is too coarse or too small for what a fusion computes in between."""

import copy

import pytest
import torch
from torch import nn

from mmattn.fusion import AFF, iAFF
from mmattn.fusion.aff import gate, gate_logits
from mmattn.fusion.base import add

LARGEST = torch.finfo(torch.float16).max


def zero(*modules):
    for module in modules:
        for parameter in module.parameters():
            nn.init.zeros_(parameter)


def difference(branch):
    """Let a global branch give the first channel's mean less the second's, times 16."""
    convolutions = [layer for layer in branch if isinstance(layer, nn.Conv2d)]
    zero(*convolutions)
    with torch.no_grad():
        convolutions[0].weight.copy_(torch.tensor([[[[16.0]], [[-16.0]]]]))
        for last in convolutions[1:]:
            last.weight.copy_(torch.tensor([[[[-1.0]]], [[[1.0]]]]))


def aff_of_difference():
    module = AFF(2, reduction=2)
    zero(module.local_att)
    difference(module.global_att)
    return module


def half_aff_of_difference():
    module = AFF(2, reduction=2, strategy='half_aff', scales=['global'])
    difference(module.global_att)
    zero(module.post[0])
    with torch.no_grad():
        module.post[0].weight.copy_(torch.tensor([[[[-1.0]]], [[[1.0]]]]))
    return module


def i_aff_of_difference():
    module = iAFF(2, reduction=2)
    zero(module.local_att, module.local_att2)
    difference(module.global_att)
    difference(module.global_att2)
    return module


DIFFERENCES = {
    'AFF': aff_of_difference,
    'half_aff': half_aff_of_difference,
    'iAFF': i_aff_of_difference,
}


@pytest.mark.parametrize('name', DIFFERENCES)
def test_means_are_finer_than_float16(name):
    x = torch.full((1, 2, 1, 5), 1000.0)
    # On average 0.2 more than in the other channel.
    x[0, 0, 0, 3:] = 1000.5
    module, x = DIFFERENCES[name]().half().eval(), x.half()
    y = torch.zeros_like(x)
    with torch.no_grad():
        expected = copy.deepcopy(module).double()(x.double(), y.double())
        out = module(x, y)
    torch.testing.assert_close(out.double(), expected, rtol=0.02, atol=0)


@pytest.mark.parametrize('name', ['AFF'])
def test_gates_are_sums_in_float32(name):
    def branch(z):
        return torch.full_like(z, 3e4)

    z = torch.ones(1, 2, 3, 3).half()
    # In float16 three of them are infinite, and infinity less infinity is NaN.
    branches = [branch, branch, branch, lambda z: -3 * branch(z.float())]
    m = gate(gate_logits(z, branches, []))
    assert m.dtype == torch.float32
    assert (m == 0.5).all()


@pytest.mark.parametrize('name', ['AFF'])
def test_sums_that_overflow(name):
    x = torch.full((1, 2, 3, 3), 6e4).half()
    assert (add(x, x) == LARGEST).all()
    module = AFF(2, reduction=1, strategy='ms_sa').half().eval()
    zero(module)
    nn.init.constant_(module.global_att[5].bias, 99)  # a gate of one
    assert (module(x, -x) == 0).all()
    assert (module(x, x) == LARGEST).all()


@pytest.mark.parametrize('name', ['AFF'])
def test_scale_that_overflows(name):
    module = AFF(8, scale=2.0).half().eval()
    x = torch.full((1, 8, 3, 3), 5e4).half()
    assert (module(x, x) == LARGEST).all()
    assert (module(-x, -x) == -LARGEST).all()


@pytest.mark.parametrize('name', ['AFF'])
def test_pooled_branch_that_overflows_beside_a_local_one(name):
    class Huge(nn.Module):
        def forward(self, mean):
            return mean * 1e9

    x = torch.ones(1, 2, 3, 3).half()
    # Infinity times zero would be NaN.
    out = gate(gate_logits(x, [nn.Identity()], [Huge()], lambda z: 0 * z[:, 2:]))
    assert (out == 0.5).all()


@pytest.mark.parametrize('name', ['AFF'])
def test_sum_beyond_float16_under_autocast(name):
    module = AFF(8).eval()
    x = torch.full((1, 8, 3, 3), 6e4)
    with torch.autocast('cpu', torch.float16):
        out = module(x, x)
    torch.testing.assert_close(out, x)
