import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import PixelData

from mmattn import CoordAttMobileNetV2, DeepLabV3Head
from tests.helpers import randomize

pytest.importorskip('mmseg', reason='mmseg is not installed')
BN = dict(type='BN')
TINY = dict(in_channels=6, channels=4, num_classes=3, dilations=(1, 2, 3), norm_cfg=BN)


def build(**options):
    return DeepLabV3Head(**{**TINY, **options})


@pytest.mark.parametrize(
    ('attention', 'millions'),
    [
        (None, 4.524),
        (dict(type='SE', reduction=24), 4.907),
        (dict(type='CBAM', reduction=24), 4.908),
        (dict(type='CoordAtt', reduction=32), 4.969),
    ],
    ids=lambda value: value['type'] if isinstance(value, dict) else str(value),
)
def test_published_size(attention, millions):
    """Table of coordinate attention on VOC: 4.5 M, 4.9 M, 4.9 M and 5.0 M."""
    with torch.device('meta'):
        backbone = CoordAttMobileNetV2(attention=attention, out_indices=(6,))
        head = build(in_channels=320, channels=256, num_classes=21, dilations=(1, 6, 12, 18))
    count = sum(p.numel() for module in (backbone, head) for p in module.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.0006)


def test_defaults_are_those_of_the_paper():
    with torch.device('meta'):
        head = DeepLabV3Head(in_channels=320, num_classes=21)
    assert head.channels == 256 and head.dilations == (1, 6, 12, 18)


def test_keys_and_shapes_are_those_of_aspp_head_but_for_the_projection():
    from mmseg.models.decode_heads import ASPPHead

    assert isinstance(build(), ASPPHead)
    theirs = ASPPHead(**TINY).state_dict()
    ours = build().state_dict()
    assert list(ours) == list(theirs)
    assert [key for key in ours if ours[key].shape != theirs[key].shape] == [
        'bottleneck.conv.weight'
    ]
    assert ours['bottleneck.conv.weight'].shape == (4, 16, 1, 1)


def test_equations():
    head = randomize(build()).eval()
    p = head.state_dict()
    x = torch.randn(2, 6, 9, 7)

    def conv_bn(x, name, **options):
        x = F.conv2d(x, p[f'{name}.conv.weight'], **options)
        mean, var = p[f'{name}.bn.running_mean'], p[f'{name}.bn.running_var']
        return F.batch_norm(x, mean, var, p[f'{name}.bn.weight'], p[f'{name}.bn.bias']).relu()

    pooled = conv_bn(x.mean((2, 3), keepdim=True), 'image_pool.1').expand(-1, -1, 9, 7)
    branches = [pooled, conv_bn(x, 'aspp_modules.0')]
    branches += [conv_bn(x, f'aspp_modules.{i}', dilation=i + 1, padding=i + 1) for i in (1, 2)]
    out = conv_bn(torch.cat(branches, dim=1), 'bottleneck')
    expected = F.conv2d(out, p['conv_seg.weight'], p['conv_seg.bias'])
    torch.testing.assert_close(head([x]), expected)


def test_start_of_the_image_pooling_is_that_of_mmseg():
    from mmseg.models.decode_heads import ASPPHead

    options = dict(TINY, in_channels=256, channels=256)
    stds = []
    for head in (build(**options), ASPPHead(**options)):
        head.init_weights()
        stds.append(head.image_pool[1].conv.weight.std())
    torch.testing.assert_close(stds[0], stds[1], rtol=0.05, atol=0)


@pytest.mark.parametrize('norm_cfg', [BN, dict(type='GN', num_groups=2), None], ids=str)
def test_trains_at_batch_1(norm_cfg):
    head = build(norm_cfg=norm_cfg).train()
    head([torch.randn(1, 6, 9, 7)]).square().sum().backward()
    assert [n for n, p in head.named_parameters() if p.grad is None] == []


def test_trains_as_mmseg_does_at_batch_2():
    """The image pooling is left alone where mmseg's works."""
    from mmseg.models.decode_heads import ASPPHead

    ours, theirs = randomize(build()).train(), randomize(ASPPHead(**TINY)).train()
    x = torch.randn(2, 6, 9, 7)
    assert torch.equal(ours.image_pool(x), theirs.image_pool(x))
    for key, value in ours.image_pool.state_dict().items():
        assert torch.equal(value, theirs.image_pool.state_dict()[key]), key


def test_in_a_segmentor_of_mmseg():
    from mmseg.structures import SegDataSample
    from mmseg.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    model = dict(
        type='EncoderDecoder',
        backbone=dict(
            type='CoordAttMobileNetV2',
            widen_factor=0.25,
            strides=(1, 2, 2, 1, 1, 1, 1),
            dilations=(1, 1, 1, 2, 2, 4, 4),
            out_indices=(6,),
        ),
        decode_head=dict(
            type='DeepLabV3Head', in_channels=80, channels=8, in_index=0, num_classes=3,
            norm_cfg=BN, loss_decode=dict(type='CrossEntropyLoss'),
        ),
        train_cfg=dict(),
        test_cfg=dict(mode='whole'),
    )  # fmt: skip
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(ConfigDict(model))
        model.init_weights()
        sample = SegDataSample(
            metainfo=dict(img_shape=(48, 64), ori_shape=(48, 64), pad_shape=(48, 64)),
            gt_sem_seg=PixelData(data=torch.randint(0, 3, (1, 48, 64))),
        )
        images = torch.randn(1, 3, 48, 64)
        loss, _ = model.parse_losses(model.train().loss(images, [sample]))
        loss.backward()
        [found] = model.eval().predict(images, [sample])
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert found.pred_sem_seg.data.shape == (1, 48, 64)
