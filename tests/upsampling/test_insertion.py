"""Upsampling modules in place of those of a host."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from mmattn import InsertAttention
from mmattn.errors import InputError

IMAGE = (3, 12, 20)


def host(upsample=None):
    """Halve a map and enlarge it again."""
    upsample = nn.Upsample(scale_factor=2) if upsample is None else upsample
    return nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), upsample, nn.Conv2d(8, 4, 1))


def insert(model, attention, place='instead_of', name='1', **options):
    return InsertAttention(
        model, [{place: name, 'attention': attention}], input_shape=IMAGE, **options
    )


@pytest.mark.parametrize('kind', ['DySample', 'CARAFE', 'Bilinear', 'Nearest'])
@pytest.mark.parametrize(
    'theirs', [nn.Upsample(scale_factor=2), nn.ConvTranspose2d(8, 8, 2, stride=2)], ids=repr
)
def test_takes_the_place_of_what_enlarges(kind, theirs):
    model = insert(host(theirs), dict(type=kind))
    module = model.get_submodule(f'1.inserted_attention.{kind.lower()}')
    assert type(module).__name__ == kind
    assert (module.in_channels, module.scale_factor) == (8, 2)
    x = torch.rand(2, 3, 12, 20)
    assert torch.equal(model(x), model[2](module(model[0](x))))


def test_identity_start_is_bilinear():
    x = torch.rand(2, *IMAGE)
    bilinear = host(nn.Upsample(scale_factor=2, mode='bilinear', align_corners=False))
    expected = bilinear(x)
    torch.testing.assert_close(insert(bilinear, dict(type='DySample'))(x), expected)
    assert not torch.allclose(insert(host(), dict(type='DySample'), start='paper')(x), expected)


def test_factor_of_the_host():
    model = insert(host(nn.Upsample(scale_factor=3)), dict(type='DySample'))
    assert model(torch.rand(1, *IMAGE)).shape == (1, 4, 18, 30)
    with pytest.raises(InputError, match='expected scale_factor 2, .* got 4'):
        insert(host(), dict(type='DySample', scale_factor=4))


@pytest.mark.parametrize('place', ['after', 'before'])
def test_nowhere_else(place):
    with pytest.raises(InputError, match=f'DySample enlarges its map; .* not {place} one'):
        insert(host(), dict(type='DySample'), place)


@pytest.mark.parametrize('theirs', [nn.Upsample(size=(11, 20)), nn.ConvTranspose2d(8, 16, 2, 2)])
def test_of_what_does_something_else(theirs):
    model = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), theirs)
    with pytest.raises(InputError, match="'1' maps .* expected one map in, and out one of the"):
        insert(model, dict(type='DySample'))


@pytest.mark.parametrize('kind', ['DySample', 'CARAFE'])
def test_survives_what_the_host_draws(kind):
    pytest.importorskip('mmdet', reason='mmdet is not installed')
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    with DefaultScope.overwrite_default_scope('mmdet'):
        neck = dict(
            type='FPN_CARAFE',
            in_channels=[8, 16],
            out_channels=8,
            num_outs=2,
            start_level=0,
            end_level=-1,
            norm_cfg=None,
            act_cfg=None,
            order=('conv', 'norm', 'act'),
            upsample_cfg=dict(type='nearest'),
        )
        site = dict(instead_of=r'upsample_modules\.0', attention=dict(type=kind))
        neck = MODELS.build(
            dict(
                type='InsertAttention',
                host=neck,
                sites=[site],
                start='paper',
                input_shape=[(8, 12, 20), (16, 6, 10)],
            )
        )
    neck.init_weights()
    name = dict(DySample='offset', CARAFE='content_encoder')[kind]
    inserted = neck.get_submodule(f'upsample_modules.0.inserted_attention.{kind.lower()}.{name}')
    assert 5e-4 < inserted.weight.std() < 2e-3
    maps = neck([torch.rand(2, 8, 12, 20), torch.rand(2, 16, 6, 10)])
    assert [m.shape[2:] for m in maps] == [(12, 20), (6, 10)]


@pytest.mark.parametrize('method', ['deconv', 'nearest', 'bilinear'])
def test_in_the_mask_head_of_mmdet(method):
    pytest.importorskip('mmdet', reason='mmdet is not installed')
    from mmdet.models import FCNMaskHead

    head = FCNMaskHead(
        num_convs=1,
        in_channels=8,
        conv_out_channels=8,
        num_classes=3,
        upsample_cfg=dict(type=method, scale_factor=2),
    )
    site = dict(instead_of='upsample', attention=dict(type='DySample'))
    head = InsertAttention(head, [site], input_shape=(8, 14, 14))
    head.init_weights()
    x = torch.rand(2, 8, 14, 14)
    up = F.interpolate(head.convs[0](x), scale_factor=2, mode='bilinear')
    up = up.relu() if method == 'deconv' else up
    torch.testing.assert_close(head(x), head.conv_logits(up))


def test_in_the_unet_of_mmseg():
    pytest.importorskip('mmseg', reason='mmseg is not installed')
    from mmseg.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    unet = dict(
        type='UNet',
        base_channels=4,
        num_stages=2,
        strides=(1, 1),
        enc_num_convs=(1, 1),
        dec_num_convs=(1,),
        downsamples=(True,),
        enc_dilations=(1, 1),
        dec_dilations=(1,),
    )
    site = dict(instead_of=r'.*\.interp_upsample\.0', attention=dict(type='DySample'))
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(unet)
        x = torch.rand(2, 3, 16, 16)
        model.eval()
        expected = model(x)[-1]
        model = InsertAttention(model, [site], input_shape=(3, 16, 16))
    model.eval()
    torch.testing.assert_close(model(x)[-1], expected)
