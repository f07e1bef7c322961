import pytest
import torch

from mmattn import StripNet
from mmattn.backbones.gated_pyramid import Block
from mmattn.probe.count import count_multiply_adds, count_parameters
from mmattn.probe.traffic import count_kept_bytes
from tests.attention import test_strip_module
from tests.backbones import test_van
from tests.backbones.backbone_tester import BackboneTester
from tests.backbones.test_van import TINY, computes_the_equations
from tests.helpers import randomize


class TestStripNet(BackboneTester):
    cls = StripNet
    tiny = dict(arch=TINY)
    strides = (4, 8, 16, 32)
    stage_keys = test_van.TestVAN.stage_keys


def strips(p, u, name):
    return test_strip_module.equations(u, test_van.below(p, name))


RELEASED = dict(eps=1e-6, gated=strips)


@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
def test_computes_the_released_network(training):
    computes_the_equations(StripNet(TINY), training, **RELEASED)


# Counted of the released code, at 224 and at 1024 pixels; the paper's figures have no classifier.
@pytest.mark.parametrize(
    ('arch', 'millions', 'gmacs', 'gmacs_1024', 'published', 'published_gmacs'),
    [('t', 3.833, 0.857, 17.9, 3.8, 18.2), ('s', 13.322, 2.49, 51.9, 13.3, 52.3)],
)
def test_counts(arch, millions, gmacs, gmacs_1024, published, published_gmacs):
    with torch.device('meta'):
        model = StripNet(arch)
    count = count_parameters(model) / 1e6
    assert count == pytest.approx(millions, abs=0.0005)
    assert count == pytest.approx(published, abs=0.05)
    adds = [count_multiply_adds(model, (1, 3, side, side)) / 1e9 for side in (224, 1024)]
    assert adds == pytest.approx([gmacs, gmacs_1024], rel=0.005)
    assert adds[1] == pytest.approx(published_gmacs, rel=0.03)


def test_the_lean_form_keeps_less_and_has_the_same_gradients():
    plain = randomize(StripNet(TINY)).double().train()
    lean = StripNet(TINY, lean=True).double().train()
    lean.load_state_dict(plain.state_dict())
    blocks = [m for m in lean.modules() if isinstance(m, Block)]
    assert all(half.branch() is not None for b in blocks for half in (b.attn, b.mlp))
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    for model in (plain, lean):
        sum(m.square().mean() for m in model(x)).backward()
    for (name, a), b in zip(plain.named_parameters(), lean.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=name)
    plain_bytes, lean_bytes = (count_kept_bytes(model, x) for model in (plain, lean))
    assert lean_bytes < 0.5 * plain_bytes


def test_a_strip_that_is_blended_in_is_computed_plainly():
    attention = dict(type='StripModule', start='identity')
    model = StripNet(TINY, lean=True, attention=attention).train()
    assert model.block1[0].attn.branch() is None
    sum(m.sum() for m in model(torch.randn(2, 3, 32, 32))).backward()
    assert model.block1[0].attn.spatial_gating_unit.blend.grad is not None
