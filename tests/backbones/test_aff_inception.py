import pytest
import torch
import torch.nn.functional as F

from mmattn import AFFInception
from tests.backbones.backbone_tester import BackboneTester
from tests.helpers import randomize

STRATEGIES = ('aff', 'half_aff', 'concat_aff', 'ms_gau', 'ms_se', 'ms_sa')
# What the paper and its appendix compare.
ABLATION = [
    dict(type='AddFusion'),
    dict(type='ConcatFusion'),
    dict(type='AFF', scales=('global', 'global')),
    dict(type='AFF', scales=('local', 'local')),
    *(dict(type='AFF', strategy=strategy) for strategy in STRATEGIES),
    dict(type='iAFF'),
]


class TestAFFInception(BackboneTester):
    cls = AFFInception
    tiny = dict(widths=(8, 16, 32), num_blocks=2, out_indices=(0, 1, 2))
    strides = (1, 2, 4)
    stage_keys = ('stem', 'layer1', 'layer2', 'layer3')
    fillings = dict(fusion=(dict(type='AFF'), *ABLATION))


def equations(p, x, num_blocks):
    """The network in eval mode on a dict of its keys, its branches added."""

    def conv(x, name, stride=1):
        weight = p[f'{name}.conv.weight']
        x = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)
        mean, var = p[f'{name}.bn.running_mean'], p[f'{name}.bn.running_var']
        x = (x - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
        x = x * p[f'{name}.bn.weight'][:, None, None] + p[f'{name}.bn.bias'][:, None, None]
        return x.relu()

    x = conv(x, 'stem')
    maps = []
    for i in range(1, 4):
        for j in range(num_blocks):
            at, stride = f'layer{i}.{j}', 2 if i > 1 and j == 0 else 1
            x = conv(x, f'{at}.expand')
            x = conv(x, f'{at}.branch3x3', stride) + conv(x, f'{at}.branch5x5', stride)
        maps.append(x)
    return maps


@pytest.mark.parametrize('num_blocks', [1, 2, 3, 4])
def test_computes_the_network(num_blocks):
    model = AFFInception(num_blocks, fusion=dict(type='AddFusion'), out_indices=(0, 1, 2))
    randomize(model).double().eval()
    assert {p.shape[2:] for p in model.parameters() if p.dim() == 4} == {(1, 1), (3, 3), (5, 5)}
    x = torch.randn(1, 3, 19, 22, dtype=torch.float64)
    for a, b in zip(model(x), equations(model.state_dict(), x, num_blocks), strict=True):
        torch.testing.assert_close(a, b)


def test_the_gate_weighs_the_smaller_kernel():
    """The norm behind each gate set to minus infinity, or nearly: what is left is y."""
    model = randomize(AFFInception(widths=(8,))).eval()
    block = model.layer1[0]
    x = torch.randn(1, 3, 12, 9)
    wide = block.expand(model.stem(x))
    for bias, branch in ((100.0, block.branch3x3), (-100.0, block.branch5x5)):
        for last in (block.fusion.local_att[-1], block.fusion.global_att[-1]):
            torch.nn.init.zeros_(last.weight)
            torch.nn.init.constant_(last.bias, bias)
        torch.testing.assert_close(model(x)[0], branch(wide))


def test_every_block_fuses():
    model = AFFInception(3, fusion=dict(type='iAFF'))
    names = [name for name, m in model.named_modules() if type(m).__name__ == 'iAFF']
    assert names == [f'layer{i}.{j}.fusion' for i in (1, 2, 3) for j in range(3)]


def test_last_map_by_default():
    model = AFFInception(widths=(8, 16)).eval()
    [x] = model(torch.rand(1, 3, 32, 32))
    assert x.shape == (1, 16, 16, 16)
    assert model.out_channels == (16,)
