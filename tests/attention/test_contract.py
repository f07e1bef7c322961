"""What every attention module promises, asked of every one that is exported."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.registry import MODELS

from mmattn import attention
from mmattn.testing import blended, check_attention
from tests.helpers import needs_torch, randomize

CHANNELS = 32  # What every module can serve with its default options.
each = pytest.mark.parametrize('name', attention.__all__)
# torch.export takes no smaller side: the pooled map would be of one pixel, a case of its own.
SMALLEST_SIDE = {'SCConv': 8}


def build(name, **options):
    return MODELS.build(dict(type=name, in_channels=CHANNELS, **options))


@each
def test_keeps_its_promises(name):
    check_attention(getattr(attention, name), export_from=SMALLEST_SIDE.get(name, 2))


def test_abbreviations_differ():
    names = [getattr(attention, name)._abbr_ for name in attention.__all__]
    assert len(set(names)) == len(names)


# Options that change what is computed.
VARIANTS = {
    'AttentionAugmentedConv': [dict(feat_size=9)],
    'CAA': [dict(norm_cfg=None, act_cfg=None), dict(act_cfg=dict(type='GELU'))],
    'CoordAtt': [dict(direction='h'), dict(direction='w')],
    'GALA': [dict(norm_cfg=dict(type='BN'))],
    'GatherExcite': [
        dict(mlp=True),
        dict(extra_params=True, feat_size=(9, 7)),
        dict(extent=8),
        dict(extent=8, extra_params=True, mlp=True),
    ],
    'GlobalContext': [dict(pooling_type='avg', fusion_types=['channel_mul', 'channel_add'])],
    'LKA': [
        dict(combine=combine, act_cfg=dict(type='Sigmoid'))
        for combine in ('multiply', 'add', 'none')
    ],
    'NonLocal': [dict(mode=mode) for mode in ('gaussian', 'dot_product', 'concatenation')],
    'SplitAttention': [dict(radix=1)],
}


@pytest.mark.parametrize('name', VARIANTS)
def test_stays_finite_in_half_precision_with_any_options(name):
    for seed, options in enumerate(VARIANTS[name], 1):
        asked = blended.Asked(getattr(attention, name), CHANNELS, options)
        blended.stays_finite_in_half_precision(asked, seed)


# Modules whose gates come from means and maxima alone: all that is rounded is the map.
@pytest.mark.parametrize('name', ['CBAM', 'CoordAtt', 'ECA', 'ELA', 'SE', 'SimAM'])
@pytest.mark.parametrize('dtype', blended.HALVES, ids=str)
@pytest.mark.parametrize('how', ['cast', 'autocast', 'autocast of float32'])
@torch.no_grad()
def test_half_precision_is_close_at_extremes(name, dtype, how):
    asked = blended.Asked(getattr(attention, name), CHANNELS)
    module = randomize(asked.build()).eval()
    narrow = copy.deepcopy(module).to(dtype) if how == 'cast' else module
    for [x] in asked.extremes():
        expected = module(x)
        x = x if how == 'autocast of float32' else x.to(dtype)
        with torch.autocast('cpu', dtype, enabled=how != 'cast'):
            out = narrow(x)
        torch.testing.assert_close(out.float(), expected, rtol=0.02, atol=200)


@pytest.mark.slow
@needs_torch('2.5', 'torch.onnx.export of dynamo')
@each
def test_onnx_at_another_size(name, tmp_path):
    onnxruntime = pytest.importorskip('onnxruntime', reason='onnxruntime is not installed')
    module = randomize(build(name)).eval()
    program = torch.onnx.export(
        module,
        (torch.randn(2, CHANNELS, 12, 9),),
        opset_version=18,
        dynamo=True,
        dynamic_shapes={'x': {2: 'h', 3: 'w'}},
        verbose=False,
    )
    program.save(tmp_path / 'a.onnx')
    session = onnxruntime.InferenceSession(tmp_path / 'a.onnx')
    x = torch.randn(2, CHANNELS, 7, 20)
    [out] = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(out), module(x), rtol=1e-4, atol=1e-4)


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(attention.__all__),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 17), st.integers(1, 17)),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
    channels_last=st.booleans(),
    start=st.sampled_from(blended.STARTS),
)
def test_keeps_any_map(name, shape, dtype, channels_last, start):
    asked = blended.Asked(getattr(attention, name), CHANNELS)
    blended.keeps_the_map(asked, shape, dtype, channels_last, start)


# mmdet and mmseg want a name of its own for each of several equal plug-ins.
PLUGINS = [(f'after_conv{i}', f'_{i}') for i in (1, 2, 3)]


@each
@pytest.mark.parametrize('package', ['mmdet', 'mmseg'])
def test_trains_in_every_position_of_a_resnet50(name, package):
    """One stage of half the width, for the time it takes; the blocks are those of ResNet-50."""
    backbone = MODELS.build(
        dict(
            type=f'{package}.ResNet',
            depth=50,
            base_channels=CHANNELS,
            num_stages=1,
            strides=(1,),
            dilations=(1,),
            out_indices=(0,),
            # At zero, nothing within a block would train in the first step.
            zero_init_residual=False,
            plugins=[dict(cfg=dict(type=name, postfix=p), position=at) for at, p in PLUGINS],
        )
    )
    backbone.init_weights()
    inserted = [m for m in backbone.modules() if type(m) is getattr(attention, name)]
    assert len(inserted) == 9  # Three positions in each of three blocks.
    before = copy.deepcopy(backbone.state_dict())
    optimizer = torch.optim.SGD(backbone.parameters(), lr=0.1)
    [out] = backbone(torch.rand(2, 3, 64, 64))
    out.square().mean().backward()
    assert [n for n, p in backbone.named_parameters() if p.grad is None] == []
    optimizer.step()
    assert all(p.isfinite().all() for p in backbone.parameters())
    after = dict(backbone.named_parameters())
    ours = [n for n in after if inserted[0]._abbr_ in n]
    assert not ours or any(not torch.equal(after[n], before[n]) for n in ours)
