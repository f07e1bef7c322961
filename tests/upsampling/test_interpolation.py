import pytest
import torch
import torch.nn.functional as F
from mmcv.cnn.bricks.upsample import build_upsample_layer
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from mmattn import CARAFE, Bilinear, DySample, Nearest

SIZES = [None, (14, 10), (13, 9), (20, 3)]


@pytest.mark.parametrize('size', SIZES, ids=str)
def test_are_those_of_pytorch(size):
    x = torch.randn(2, 8, 7, 5)
    asked = dict(scale_factor=2) if size is None else dict(size=size)
    assert torch.equal(Nearest(8)(x, size), F.interpolate(x, **asked))
    for corners in (False, True):
        expected = F.interpolate(x, **asked, mode='bilinear', align_corners=corners)
        torch.testing.assert_close(Bilinear(8, align_corners=corners)(x, size), expected)
    assert not Nearest(8).state_dict() and not Bilinear(8).state_dict()


@pytest.mark.parametrize('scope', [None, 'mmdet', 'mmseg', 'mmpretrain'])
@pytest.mark.parametrize('kind', [CARAFE, DySample, Bilinear, Nearest])
def test_is_found_by_mmcv_in_any_scope(kind, scope):
    if scope is not None:
        pytest.importorskip(scope, reason=f'{scope} is not installed')
    with DefaultScope.overwrite_default_scope(scope or 'mmengine'):
        cfg = dict(type=kind.__name__, scale_factor=4)
        assert type(build_upsample_layer(cfg, in_channels=8)) is kind
        assert type(MODELS.build(dict(cfg, in_channels=8))) is kind
        # Those of mmcv keep their names.
        assert type(build_upsample_layer(dict(type='nearest', scale_factor=2))) is nn.Upsample
