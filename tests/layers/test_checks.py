"""Options of any value: what is built works, and what is refused is named."""

import inspect
import math
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import get_args

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS

from mmattn import attention, backbones, fusion, necks
from mmattn.layers.checks import check_option

NAN = math.nan
WRONG = [
    *((name, 'reduction', v) for name in ('CoordAtt', 'SKConv') for v in (NAN, 2.5, 0, -3, '4')),
    *((name, 'reduction', v) for name in ('GatherExcite', 'SE', 'MSCAM', 'AFF') for v in (0, -3)),
    *(('SplitAttention', option, v) for option in ('radix', 'groups') for v in (0, True, None)),
    *(('SplitAttention', 'reduction_factor', v) for v in (0, NAN, 2.5)),
    *((name, 'in_channels', v) for name in ('SE', 'AFF') for v in (16.0, 0, True, '16', 2**63)),
    *(
        (name, 'kernel_size', v)
        for name in ('CBAM', 'ECA', 'ELA', 'GALA', 'MLCA')
        for v in (0, 4, -3)
    ),
    *(
        (name, 'kernel_size', v)
        for name in ('TripletAttention', 'AttentionAugmentedConv')
        for v in (4, 257)
    ),
    *(('LKA', 'kernel_size', v) for v in (9, 100, 21.0)),
    *(('CAA', 'kernel_size', v) for v in (0, 10, -3, 11.0)),
    *(('LSKA', 'kernel_size', v) for v in (0, 21, 99)),
    *(('MSCA', 'kernel_sizes', v) for v in ((), (7, 10), (0,), (-3, 5), 7, 'abc', (7.0,))),
    *(('AttentionAugmentedConv', 'key_ratio', v) for v in (0, -1, NAN, 101)),
    *(('AttentionAugmentedConv', 'value_ratio', v) for v in (0, 1.0, NAN)),
    *(('AttentionAugmentedConv', 'feat_size', v) for v in (0, (3, 4, 5), (3, -1), 2.5)),
    *(('AttentionAugmentedConv', option, 0) for option in ('num_heads', 'min_key_channels')),
    *(('CrissCross', 'recurrence', v) for v in (0, 101, 2**63)),
    *(('iAFF', 'iterations', v) for v in (0, 101, 2**63)),
    *(('BAM', 'dilation', v) for v in (0, 256, 1.5)),
    ('CoordAtt', 'direction', 'x'),
    *(('DoubleAttention', option, 0) for option in ('c_m', 'c_n')),
    *(('DoubleAttention', 'residual', v) for v in (1, None, 'yes')),
    *(('ELA', option, 0) for option in ('groups', 'num_groups')),
    ('EMA', 'factor', 0),
    *(('GatherExcite', 'extent', v) for v in (1, 3, 16, -1, 2.0, False)),
    *(('GatherExcite', 'feat_size', v) for v in (0, (5,), 4097)),
    ('GlobalContext', 'pooling_type', 'max'),
    *(('GlobalContext', 'fusion_types', v) for v in ((), 'channel_add', ['add'])),
    *(('GSoP', 'att_dim', v) for v in (1, 4097)),
    ('GSoP', 'stride', 0),
    ('LKA', 'combine', 'concat'),
    *(('MixedPooling', 'pool_size', v) for v in ((20,), (20, 0), (20, 12, 6), 20)),
    *(('AgentAttention', 'num_agents', v) for v in (0, 10, 49.0)),
    *(('AgentAttention', 'agent_shape', v) for v in (7, (7,), (7, 0))),
    *(('AgentAttention', 'window_size', v) for v in (0, 4097)),
    *(('MLCA', 'local_size', v) for v in (0, 256, 2.5)),
    *(('MLCA', 'local_weight', v) for v in (-0.1, 1.5, NAN)),
    ('NonLocal', 'mode', 'dot'),
    ('SCConv', 'pooling_r', 0),
    *(('SCSA', 'window_size', v) for v in (0, -1, 2.5)),
    *(('SCSA', 'kernel_sizes', v) for v in ((3, 5, 7), (3, 5, 7, 8), 3)),
    *(('SHSA', option, 0) for option in ('qk_channels', 'partial_channels')),
    *(('SimAM', 'e_lambda', v) for v in (0, -1.0, NAN)),
    *(('SKConv', option, 0) for option in ('groups', 'min_channels')),
    *(('SKConv', 'branches', v) for v in (1, 33)),
    *(('StripModule', 'kernel_size', v) for v in (0, 18, -3, 19.0)),
    ('TimmAttention', 'name', None),
    ('TimmAttention', 'options', 'rd_ratio=1'),
    *(('AFF', 'scale', v) for v in (NAN, math.inf, '2', None)),
    *(('AFF', 'scales', v) for v in ((), 'local', ('locl',))),
    ('AFF', 'strategy', 'ms_gua'),
    *(('VAN', option, v) for option in ('drop_rate', 'drop_path_rate') for v in (-1, 2.5, NAN)),
    ('VAN', 'drop_path_rate', 1.0),
    *(('PKINet', option, v) for option in ('drop_rate', 'drop_path_rate') for v in (-1, 2.5, NAN)),
    ('VAN', 'layer_scale_init_value', NAN),
    *(('CoordAttEfficientNet', 'drop_path_rate', v) for v in (-1, 2.5)),
    *(
        (name, 'widen_factor', v)
        for name in ('CoordAttMobileNetV2', 'MobileNeXt')
        for v in (0, NAN)
    ),
    *(('MobileNeXt', 'identity_tensor_multiplier', v) for v in (0, 1.5)),
    *(('AFFResNet', option, 0) for option in ('groups', 'base_width', 'stem_channels', 'depth')),
    *(('AFFResNet', option, (1, 2, 2, 0)) for option in ('strides', 'dilations')),
    ('AFFResNet', 'style', 'caffee'),
    *(('AFFInception', 'num_blocks', v) for v in (0, 101)),
    *(('AFFInception', 'widths', v) for v in ((), (16, 0), 16)),
    *(('AFFFPN', 'out_channels', v) for v in (0, 16.0)),
    *(('AFFFPN', 'add_extra_convs', v) for v in ('on_inputs', 1)),
    *(('AFFFPN', 'upsample_cfg', v) for v in (dict(mode='nope'), dict(scale_factor=NAN), 2)),
    *(('SSDLiteNeck', 'extra_channels', v) for v in ((512, 256, 256, 0), 512)),
    ('SSDLiteNeck', 'ratios', (0.2, 0.5, 0.5, 0)),
    ('SSDLiteNeck', 'block', 'ghost'),
    *(('PooledDropout', 'drop_rate', v) for v in (-0.1, 1.1, NAN, '0.5')),
    *((name, 'frozen_stages', v) for name in ('VAN', 'AFFResNet') for v in (1.0, True, None)),
    *((name, 'out_indices', v) for name in ('VAN', 'AFFResNet') for v in (3, (1.0,), '12')),
    *((name, option, 5) for name in ('VAN', 'SE') for option in ('init_cfg',)),
]
WRONG_LAYERS = {
    'norm_cfg': [
        *('BN', 5, {}, dict(type=None), dict(type='Nope'), dict(type='GN'), dict(type='BN1d')),
        *(dict(type='os.path.join'), dict(type='mmattn.SE')),
        *(dict(type='GN', num_groups=0), dict(type='LN'), dict(type='BN', foo=1)),
    ],
    'act_cfg': ['ReLU', 5, {}, dict(type='Nope'), dict(type='ReLU', foo=1), dict(type='SyncBN')],
    'conv_cfg': ['Conv2d', 5, {}, dict(type='Nope'), dict(type='Conv1d'), dict(type='BN')],
    'attention': ['SE', 5, {}, dict(type='Nope'), dict(type='ReLU'), dict(type='BN')],
    'fusion': ['AFF', 5, {}, dict(type='Nope'), dict(type='SE', in_chanels=3)],
}


# What is small enough to be built a thousand times; the rest are the defaults.
SMALL = {name: dict(in_channels=32) for name in (*attention.__all__, *fusion.__all__)}
SMALL |= {name: {} for name in backbones.__all__}
SMALL |= {
    'VAN': dict(arch='b0'),
    'PKINet': dict(arch='t'),
    'AFFResNet': dict(depth=18),
    'AFFFPN': dict(in_channels=[8, 16, 32], out_channels=16, num_outs=4),
    'FusionPAFPN': dict(in_channels=[8, 16, 32], out_channels=16, num_outs=4),
    'SSDLiteNeck': {},
    'PooledDropout': dict(drop_rate=0.5),
}
CFGS = [
    {},
    dict(type=None),
    dict(type=3),
    dict(type=''),
    dict(type='Nope'),
    dict(type='os.path.join'),
    *(dict(type=kind) for kind in ('BN', 'BN1d', 'BN3d', 'LN', 'IN', 'GN', 'SyncBN')),
    *(dict(type='GN', num_groups=n) for n in (2, 3, 0, -1, 2.0, math.nan, '2', 2**63)),
    dict(type='BN', eps='x'),
    dict(type='BN', foo=1),
    dict(type='BN', requires_grad=False),
    *(dict(type=kind) for kind in ('ReLU', 'HSwish', 'PReLU', 'Sigmoid', 'Softmax', 'Clip')),
    dict(type='ReLU', foo=1),
    *(dict(type=kind) for kind in ('Conv2d', 'Conv1d', 'Conv3d', 'Conv2dAdaptivePadding')),
    dict(type='Conv2d', foo=1),
    *(dict(type=kind) for kind in ('CoordAtt', 'SE', 'AFF', 'iAFF', 'AddFusion', 'ConvModule')),
    dict(type='CoordAtt', reduction=math.nan),
    dict(type='SE', reduction=10**6),
    dict(type='AFF', norm_cfg=dict(type='GN')),
    dict(mode='nearest'),
    dict(mode='nope'),
    dict(scale_factor=math.nan),
    dict(scale_factor=1e9),
    dict(embed_dims=[8], depths=[1], mlp_ratios=[4]),
    dict(embed_dims=[8], depths=[2**63], mlp_ratios=[4]),
    dict(embed_dims=8, depths=[1], mlp_ratios=[4]),
    dict(embed_dims=['8'], depths=[1], mlp_ratios=[math.nan]),
]
VALUES = [
    *(-(10**400), -3, -1, 0, 1, 2, 3, 4, 5, 7, 8, 11, 16, 32, 2**31, 2**63, 10**400),
    *(math.nan, math.inf, -math.inf, -0.5, 0.0, 1e-9, 0.25, 0.5, 1.0, 2.5, 16.0, 1e300),
    *(None, True, False, '', 'x', 'both', 'identity', 'paper', 'local', 'b0', 'sandglass', b'x'),
    *((), [], (0,), (1,), [3], (2, 3), (3, 5), [5, 7], (1, 2, 3), (1,) * 4, (2,) * 7, (1,) * 8),
    *((math.nan,), (2**63, 1), (1.5, 2), ('a', 'b'), [[1], [2]], (None,), ('local', 'local')),
    *(np.int64(4), np.float64(math.nan), np.array([1, 2]), torch.tensor(3), range(2), {1, 2}),
    *(object(), print, int, 1j),
]


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    def stop(number: int, frame: object) -> None:
        raise AssertionError(f'not done within {seconds} s')

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_an_option_of_any_class_names_it():
    with pytest.raises(ValueError, match=r'^SE: norm has to be of type Module, got 1$'):
        check_option('SE', 'norm', 1, torch.nn.Module)


def draw(source: random.Random) -> tuple[str, dict]:
    """Draw a module and values for one to three of its options, half of them of the right type."""
    name = source.choice(list(SMALL))
    parameters = inspect.signature(MODELS.get(name)).parameters
    options = {}
    for option in source.sample(list(parameters), k=min(source.randint(1, 3), len(parameters))):
        parameter, pool = parameters[option], CFGS if source.random() < 0.2 else VALUES
        if source.random() < 0.5:
            # An explicit request for a kernel that there is not is no wrong value.
            words = {*get_args(parameter.annotation)} - {'fused'}
            given = SMALL[name].get(option, parameter.default)
            pool = [v for v in (*VALUES, *CFGS, *sorted(words, key=str)) if type(v) is type(given)]
        options[option] = source.choice(pool)
    return name, options


def apply(name: str, options: dict) -> None:
    """Build a module and let it see maps of its size."""
    module = MODELS.build(dict(SMALL[name], **options, type=name)).eval()
    if name in necks.__all__:
        channels = getattr(module, 'in_channels', [8, 8])
        sides = [2 ** (len(channels) - i + 1) for i in range(len(channels))]
        maps = [torch.rand(2, c, s, s) for c, s in zip(channels, sides, strict=True)]
        module(maps)
    elif name in fusion.__all__:
        maps = [torch.rand(2, *shape) for shape in module.map_shapes(9, 7)]
        out = module(*maps)
        first = out[0] if isinstance(out, tuple) else out
        assert first.shape[2:] == (9, 7)
    elif name in attention.__all__:
        x = torch.rand(2, module.in_channels, *(getattr(module, 'feat_size', None) or (9, 7)))
        assert module(x).shape == x.shape
    else:
        maps = module(torch.rand(1, module.in_channels, 33, 29))
        # An expanded map of MobileNeXt's last stage comes besides the stage's own.
        twice = module.out_indices[-1] in getattr(module, 'expanded', ())
        assert len(maps) == len(module.out_indices) + twice


def names(name: str, options: dict) -> Iterator[str]:
    """List the options that were given, and the keys within those and within the defaults."""
    yield from options
    parameters = inspect.signature(MODELS.get(name)).parameters.values()
    for value in (*options.values(), *(parameter.default for parameter in parameters)):
        if isinstance(value, dict):
            yield from (key for key in value if key != 'type')


def fuzz(seed: int, count: int) -> None:
    source = random.Random(seed)
    for _ in range(count):
        name, options = draw(source)
        try:
            # Without data, so that no size asks for memory.
            with time_limit(60), torch.device('meta'), torch.no_grad():
                apply(name, options)
        except (ValueError, TypeError) as error:
            assert any(option in str(error) for option in names(name, options)), (
                name,
                options,
                error,
            )
        except Exception as error:
            raise AssertionError(f'{name} {options}: {error!r}') from error


def build(name: str, /, **options) -> torch.nn.Module:
    with torch.device('meta'):
        return MODELS.build(dict(SMALL[name], **options, type=name))


@pytest.mark.parametrize(('name', 'option', 'value'), WRONG, ids=str)
def test_wrong_value(name, option, value):
    with pytest.raises(ValueError, match=f'^{name}: {option} has to be .*, got '):
        build(name, **{option: value})


def test_wrong_layers():
    for name in SMALL:
        for option in inspect.signature(MODELS.get(name)).parameters:
            for value in WRONG_LAYERS.get(option, ()):
                with pytest.raises(
                    ValueError, match=f'^{name}: {option} has to be a dict of .* got '
                ):
                    build(name, **{option: value})


def test_wrong_size_of_an_arch():
    arch = dict(embed_dims=[8, 16], depths=[1, 1], mlp_ratios=[4, 4])
    for key, value in (('embed_dims', [8, 0]), ('depths', [1, NAN]), ('mlp_ratios', 4)):
        with pytest.raises(ValueError, match=rf"^VAN: arch\['{key}'\] has to be a list of .*got "):
            build('VAN', arch={**arch, key: value})


@pytest.mark.parametrize('name', ['MSCAM', 'SplitAttention', 'AFF'])
def test_norm_of_one_pixel(name):
    module = build(name, norm_cfg=dict(type='IN')).eval()
    x = torch.rand(2, 32, 9, 7, device='meta')
    with pytest.raises(ValueError, match='norm_cfg .* one pixel, .* got InstanceNorm2d'):
        module(x, x) if name == 'AFF' else module(x)


def test_message_says_why():
    with pytest.raises(ValueError, match='SKConv: ') as error:
        build('SKConv', norm_cfg=dict(type='BN1d'))
    assert str(error.value) == (
        "SKConv: norm_cfg has to be a dict of a norm layer, such as dict(type='BN'), "
        "got {'type': 'BN1d'} (expected 2D or 3D input (got 4D input))"
    )


def test_numbers_of_numpy_and_layers_of_others():
    module = build('AFF', reduction=np.int64(4), scale=np.float32(2), norm_cfg=dict(type=Shift))
    assert any(isinstance(layer, Shift) for layer in module.modules())
    assert build('GatherExcite', extent=np.int64(8)).extent == 8
    assert build('VAN', layer_scale_init_value=1).block1[0].layer_scale_1.is_floating_point()
    assert build('AttentionAugmentedConv', feat_size=np.int64(9)).feat_size == (9, 9)


class Shift(torch.nn.Module):
    """A norm layer of somebody else, who knows what it needs."""

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        assert channels > 4
        self.shift = torch.nn.Parameter(torch.zeros(channels))


class Squeezer(attention.SE):
    """A module of somebody else, with an option of its own that nothing is known of."""

    def __init__(self, in_channels: int, squeeze: 'unknown', bias: bool = None, **options) -> None:  # noqa: F821, RUF013
        super().__init__(in_channels, **options)


def test_subclasses_check_what_they_annotate():
    Squeezer(32, squeeze=object(), bias=None, reduction=2)
    with pytest.raises(ValueError, match='^Squeezer: bias has to be True or False, got 1'):
        Squeezer(32, None, 1)
    with pytest.raises(ValueError, match='^Squeezer: reduction has to be a whole number'):
        Squeezer(32, None, reduction=2.0)


def test_drawn_values():
    fuzz(seed=0, count=100)


@pytest.mark.slow
@pytest.mark.parametrize('seed', range(1, 11))
def test_many_drawn_values(seed):
    fuzz(seed, count=100)
