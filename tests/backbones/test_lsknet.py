import pytest
import torch
from mmengine.runner import save_checkpoint

from mmattn import LSKNet
from mmattn.probe.count import count_multiply_adds, count_parameters
from tests.attention import test_lsk
from tests.backbones import test_van
from tests.backbones.backbone_tester import BackboneTester
from tests.backbones.test_van import TINY, computes_the_equations
from tests.helpers import randomize


class TestLSKNet(BackboneTester):
    cls = LSKNet
    tiny = dict(arch=TINY)
    strides = (4, 8, 16, 32)
    stage_keys = test_van.TestVAN.stage_keys


def lsk(p, u, name):
    return test_lsk.equations(u, test_van.below(p, name))


RELEASED = dict(eps=1e-6, gated=lsk)


@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
def test_computes_the_released_network(training):
    computes_the_equations(LSKNet(TINY), training, **RELEASED)


# Counted of the released code, at 224 and at 1024 pixels; the papers' figures of 4.3 M and 14.4 M
# include a classifier of 1000 classes.
@pytest.mark.parametrize(
    ('arch', 'millions', 'gmacs', 'gmacs_1024', 'published', 'published_gmacs'),
    [('t', 3.990, 0.892, 18.6, 4.3, 19.1), ('s', 13.841, 2.58, 53.8, 14.4, 54.4)],
)
def test_counts(arch, millions, gmacs, gmacs_1024, published, published_gmacs):
    with torch.device('meta'):
        model = LSKNet(arch)
    count = count_parameters(model) / 1e6
    assert count == pytest.approx(millions, abs=0.0005)
    assert count + 1.001 * model.out_channels[-1] / 1e3 == pytest.approx(published, abs=0.06)
    adds = [count_multiply_adds(model, (1, 3, side, side)) / 1e9 for side in (224, 1024)]
    assert adds == pytest.approx([gmacs, gmacs_1024], rel=0.005)
    assert adds[1] == pytest.approx(published_gmacs, rel=0.03)


@pytest.mark.parametrize('prefix', ['', 'backbone.'])
def test_averages_of_the_weights_are_set_aside(tmp_path, prefix):
    source, path = randomize(LSKNet(TINY)), str(tmp_path / 'lsknet.pth')
    weights = {prefix + key: value for key, value in source.state_dict().items()}
    averages = {
        f'ema_backbone_{key.replace(".", "_")}': torch.rand(value.shape)
        for key, value in source.state_dict().items()
    }
    save_checkpoint({'state_dict': {**weights, **averages}}, path)
    model = LSKNet(TINY, init_cfg=dict(type='Pretrained', checkpoint=path))
    model.init_weights()
    for (key, a), b in zip(model.state_dict().items(), source.state_dict().values(), strict=True):
        assert torch.equal(a, b), key
