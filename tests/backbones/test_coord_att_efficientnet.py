import re
import sys

import pytest
import torch

from mmattn import CoordAttEfficientNet
from mmattn.errors import InputError
from mmattn.layers.packages import installation
from tests.attention.test_coord_att import equations as coordinate_attention
from tests.backbones.backbone_tester import BackboneTester
from tests.helpers import randomize

mmpretrain = pytest.importorskip('mmpretrain')


class TestCoordAttEfficientNet(BackboneTester):
    cls = CoordAttEfficientNet
    tiny = dict(arch='b0', out_indices=(1, 2, 3))
    strides = (2, 4, 8)
    stage_keys = ('layers.0', 'layers.1', 'layers.2', 'layers.3')


def host(arch='b0', **options):
    model = mmpretrain.models.EfficientNet(arch, out_indices=range(7), **options)
    model.eval()
    return model


@pytest.mark.parametrize('arch', ['b0', 'b2'])
def test_same_network_as_mmpretrain_without_attention(arch):
    theirs = randomize(host(arch))
    ours = CoordAttEfficientNet(arch, attention=None, out_indices=range(7)).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(1, 3, 64, 81)
    for a, b, channels in zip(ours(x), theirs(x), ours.out_channels, strict=True):
        assert torch.equal(a, b)
        assert a.shape[1] == channels


def test_attention_stands_where_squeeze_and_excitation_stood():
    model = randomize(CoordAttEfficientNet(out_indices=(6,))).eval()
    kinds = [type(block.se).__name__ for stage in model.layers[1:6] for block in stage]
    assert kinds == ['CoordAtt'] * 16
    assert not any(type(module).__name__ == 'SELayer' for module in model.modules())
    block = model.layers[3][0]
    seen = {}
    for name in ('depthwise_conv', 'linear_conv'):
        getattr(block, name).register_forward_hook(
            lambda module, inputs, out, name=name: seen.update({name: (inputs[0], out)})
        )
    model(torch.randn(1, 3, 40, 56))
    expected = coordinate_attention(seen['depthwise_conv'][1], block.se.state_dict(), False)
    torch.testing.assert_close(seen['linear_conv'][0], expected)


# Known of the published network: 5.3 M, and 5.4 M with coordinate attention.
@pytest.mark.parametrize(
    ('attention', 'millions'),
    [
        (None, 5.289),
        (dict(type='CoordAtt', reduction=32), 5.382),
        (dict(type='CoordAtt', reduction=28), 5.478),
        (dict(type='CoordAtt', reduction=24), 5.615),
    ],
    ids=['plain', '32', '28', '24'],
)
def test_parameters(attention, millions):
    with torch.device('meta'):
        model = CoordAttEfficientNet(attention=attention, out_indices=(6,))
    assert all(p.is_meta for p in model.parameters())
    count = sum(p.numel() for p in model.parameters()) + 1280 * 1000 + 1000
    assert count / 1e6 == pytest.approx(millions, abs=0.0005)


def test_weights_of_the_host_leave_only_the_attention_new(tmp_path):
    theirs = randomize(host()).state_dict()
    path = tmp_path / 'b0.pth'
    heads = {'head.fc.weight': torch.rand(10, 1280), 'head.fc.bias': torch.rand(10)}
    prefixed = {f'backbone.{key}': value for key, value in theirs.items()}
    torch.save({'state_dict': {**prefixed, **heads}}, path)
    cfg = dict(type='Pretrained', checkpoint=str(path))
    for out_indices in ((2, 3), (6,)):
        model = CoordAttEfficientNet(out_indices=out_indices, init_cfg=cfg)
        model.init_weights()
        for key, value in model.state_dict().items():
            if '.se.' not in key:
                assert torch.equal(value, theirs[key]), key
    with pytest.raises(InputError, match='of another architecture than this CoordAttEfficientNet'):
        CoordAttEfficientNet('b1', init_cfg=cfg).init_weights()


def test_what_was_not_built_is_set_aside():
    source = CoordAttEfficientNet(out_indices=(6,)).state_dict()
    classifier = {'head.fc.weight': torch.rand(10, 1280)}
    for last in range(7):
        model = CoordAttEfficientNet(out_indices=(last,))
        model.load_state_dict({**source, **classifier}, strict=True)
    source['layers.7.conv.weight'] = torch.rand(1)
    with pytest.raises(RuntimeError, match=r'Unexpected key.*layers\.7'):
        CoordAttEfficientNet().load_state_dict(source, strict=True)


def test_drop_path_reaches_the_blocks():
    model = CoordAttEfficientNet(drop_path_rate=0.3)
    rates = [module.drop_prob for module in model.modules() if type(module).__name__ == 'DropPath']
    assert rates == pytest.approx([0.3 * i / 15 for i in range(1, 16)])


@pytest.mark.parametrize('arch', ['es', 'b9'])
def test_wrong_arch(arch):
    with pytest.raises(ValueError, match=f"expected arch b0, .*, l2, got '{arch}'"):
        CoordAttEfficientNet(arch)


def test_without_mmpretrain(monkeypatch):
    monkeypatch.setitem(sys.modules, 'mmpretrain', None)
    wanted = re.escape(installation('mmpretrain'))
    with pytest.raises(ImportError, match=f'needs mmpretrain: pip install {wanted}'):
        CoordAttEfficientNet()
