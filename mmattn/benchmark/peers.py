"""Each module of attention and fusion beside its peer: of another package, or the plain formula."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

from torch import nn

from mmattn import attention, fusion
from mmattn.benchmark import plain
from mmattn.benchmark.cases import Case, Conditions, Row, copy_weights, shake, with_peers
from mmattn.benchmark.plain import Plain
from mmattn.layers.packages import import_optional

# Like stage 1 of a network at 256 pixels, and what the bars on bytes stand on.
SHAPE = (2, 64, 32, 32)

Peer = Callable[[Any], nn.Module]


class Peers(NamedTuple):
    """A module, and what computes the same with the same weights.

    Args:
        name: Name of the row.
        kind: Our class.
        options: Its options.
        peers: Each by the package that it is of, the one first that the bars are about.
    """

    name: str
    kind: type[nn.Module]
    options: dict[str, Any]
    peers: dict[str, Peer]

    def build(self, conditions: Conditions) -> Case:
        """Make our module and its peers."""
        shape = conditions.shape or SHAPE
        ours = self.kind(shape[1], **self.options)
        shake(ours)
        case = with_peers(ours, self.peers)
        is_fusion = self.kind.__name__ in fusion.__all__
        case.shapes = [shape] * (2 if is_fusion else 1)
        return case


def _plain(formula: plain.Formula) -> dict[str, Peer]:
    return {'plain': lambda ours: Plain(ours, formula)}


def _from(
    module: str,
    kind: str,
    options: Callable[[Any], dict[str, Any]] = lambda ours: {},
    names: dict[str, str] | None = None,
) -> dict[str, Peer]:
    """Take the class of another package, whose first argument are the channels.

    Args:
        module: Dotted name of its module.
        kind: Name of the class.
        options: Gives its options for our module.
        names: As of :func:`copy_weights`.
    """

    def build(ours: Any) -> nn.Module:
        found = import_optional(module, 'this peer')
        peer = getattr(found, kind)(ours.in_channels, **options(ours))
        copy_weights(ours, peer, names)
        return peer

    return {module.partition('.')[0]: build}


def _timm_cbam(ours: Any) -> nn.Module:
    [build] = _from('timm.layers.cbam', 'CbamModule', lambda ours: dict(mlp_bias=True)).values()
    peer: Any = build(ours)
    # Its mean comes ahead of its maximum.
    weight = peer.spatial.conv.conv.weight
    weight.data = weight.data.flip(1)
    return peer


def _timm_global_context(ours: Any) -> nn.Module:
    [build] = _from(
        'timm.layers',
        'GlobalContext',
        lambda ours: dict(fuse_add=True, fuse_scale=False, rd_channels=_middle(ours)),
    ).values()
    peer: Any = build(ours)
    peer.mlp_add.norm.eps = ours.channel_add_conv[1].eps
    return peer


def _timm_itself(ours: Any) -> nn.Module:
    build = import_module('timm.layers').get_attn('cbam')
    peer = build(ours.in_channels)
    copy_weights(ours, peer)
    return peer


_OF_ELA = {
    **{f'conv_{axis}.weight': 'conv.weight' for axis in 'hw'},
    **{f'norm_{axis}.': 'gn.' for axis in 'hw'},
}


def _middle(ours: Any) -> int:
    return max(ours.in_channels // 16, 1)


def _coord(ours: Any) -> dict[str, Any]:
    return dict(rd_channels=max(8, ours.in_channels // 32), bias=True)


def _gather(ours: Any) -> dict[str, Any]:
    return dict(extent=ours.extent, use_mlp=False)


def _selective(ours: Any) -> dict[str, Any]:
    groups = ours.paths[0].conv.groups
    return dict(groups=groups, split_input=False, rd_channels=ours.attn.fc_reduce.out_channels)


def _split(ours: Any) -> dict[str, Any]:
    return dict(norm_layer=nn.BatchNorm2d, radix=ours.radix, groups=ours.groups)


def _non_local(ours: Any) -> dict[str, Any]:
    return dict(mode=ours.mode, sub_sample=ours.sub_sample, use_scale=ours.use_scale)


_NON_LOCAL = _from('mmcv.cnn', 'NonLocal2d', _non_local)

PEERS = [
    Peers('AgentAttention', attention.AgentAttention, {}, _plain(plain.agent_attention)),
    Peers(
        'AttentionAugmentedConv',
        attention.AttentionAugmentedConv,
        {},
        _plain(plain.attention_augmented_conv),
    ),
    Peers('BAM', attention.BAM, {}, _plain(plain.bam)),
    Peers('CAA', attention.CAA, {}, _plain(plain.caa)),
    Peers('CBAM', attention.CBAM, {}, {'timm': _timm_cbam, **_plain(plain.cbam)}),
    Peers(
        'CoordAtt',
        attention.CoordAtt,
        {},
        {**_from('timm.layers.coord_attn', 'CoordAttn', _coord), **_plain(plain.coord_att)},
    ),
    Peers(
        'CrissCross',
        attention.CrissCross,
        {},
        _from('mmcv.ops', 'CrissCrossAttention', names={'gamma.scale': 'gamma'}),
    ),
    Peers('DoubleAttention', attention.DoubleAttention, {}, _plain(plain.double_attention)),
    Peers(
        'ECA',
        attention.ECA,
        {},
        {
            **_from('timm.layers', 'EcaModule'),
            **_plain(plain.eca),
        },
    ),
    Peers(
        'ELA',
        attention.ELA,
        dict(num_groups=1),
        _from(
            'timm.layers.coord_attn',
            'EfficientLocalAttn',
            lambda ours: dict(act_layer=nn.Identity),
            _OF_ELA,
        ),
    ),
    Peers('EMA', attention.EMA, {}, _plain(plain.ema)),
    Peers('GALA', attention.GALA, {}, _plain(plain.gala)),
    Peers('GSoP', attention.GSoP, {}, _plain(plain.gsop)),
    Peers(
        'GatherExcite', attention.GatherExcite, {}, _from('timm.layers', 'GatherExcite', _gather)
    ),
    Peers(
        'GatherExcite extent=4',
        attention.GatherExcite,
        dict(extent=4),
        _from('timm.layers', 'GatherExcite', _gather),
    ),
    Peers(
        'GatherExcite extent=4 extra_params mlp',
        attention.GatherExcite,
        dict(extent=4, extra_params=True, mlp=True),
        _plain(plain.gather_excite),
    ),
    Peers(
        'GlobalContext',
        attention.GlobalContext,
        {},
        {
            **_from('mmcv.cnn', 'ContextBlock', lambda ours: dict(ratio=1 / 16)),
            'timm': _timm_global_context,
        },
    ),
    Peers(
        'LKA',
        attention.LKA,
        {},
        _from('mmpretrain.models.backbones.van', 'LKA') | _plain(plain.lka),
    ),
    Peers('LSK', attention.LSK, {}, _plain(plain.lsk)),
    Peers('LSKA', attention.LSKA, {}, _plain(plain.lska)),
    Peers('MSCA', attention.MSCA, {}, _from('mmseg.models.backbones.mscan', 'MSCAAttention')),
    Peers('MLCA', attention.MLCA, {}, _plain(plain.mlca)),
    Peers('MSCAM', attention.MSCAM, {}, _plain(plain.ms_cam)),
    Peers('MixedPooling', attention.MixedPooling, {}, _plain(plain.mixed_pooling)),
    Peers('NonLocal', attention.NonLocal, {}, _NON_LOCAL),
    Peers('NonLocal dot_product', attention.NonLocal, dict(mode='dot_product'), _NON_LOCAL),
    Peers('NonLocal sub_sample', attention.NonLocal, dict(sub_sample=True), _NON_LOCAL),
    Peers('SCConv', attention.SCConv, {}, _plain(plain.sc_conv)),
    Peers('SCSA', attention.SCSA, {}, _plain(plain.scsa)),
    Peers(
        'SE',
        attention.SE,
        {},
        {
            **_from('timm.layers', 'SEModule', lambda ours: dict(rd_channels=_middle(ours))),
            **_from(
                'mmpretrain.models.utils',
                'SELayer',
                lambda ours: dict(squeeze_channels=_middle(ours)),
            ),
        },
    ),
    Peers('SKConv', attention.SKConv, {}, _from('timm.layers', 'SelectiveKernel', _selective)),
    Peers('SHSA', attention.SHSA, {}, _plain(plain.shsa)),
    Peers('SimAM', attention.SimAM, {}, _plain(plain.simam)),
    Peers(
        'SplitAttention', attention.SplitAttention, {}, _from('timm.layers', 'SplitAttn', _split)
    ),
    Peers('StripModule', attention.StripModule, {}, _plain(plain.strip_module)),
    Peers('StripPooling', attention.StripPooling, {}, _plain(plain.strip_pooling)),
    Peers('TimmAttention cbam', attention.TimmAttention, {}, {'timm': _timm_itself}),
    Peers('TripletAttention', attention.TripletAttention, {}, _plain(plain.triplet_attention)),
    Peers('AFF', fusion.AFF, {}, _plain(plain.aff)),
    Peers('iAFF', fusion.iAFF, {}, _plain(plain.iaff)),
    Peers('AddFusion', fusion.AddFusion, {}, _plain(plain.add)),
    Peers('BiFPNFusion', fusion.BiFPNFusion, {}, _plain(plain.bifpn)),
    Peers('FastNormalizedFusion', fusion.FastNormalizedFusion, {}, _plain(plain.fast_normalized)),
    Peers('ConcatFusion', fusion.ConcatFusion, {}, _plain(plain.concat)),
]

ROWS = [Row('modules', peers.name, peers.build) for peers in PEERS]
