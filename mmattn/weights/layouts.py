"""Layouts in which weights are published: recognised by their keys, renamed to the names here.

A backbone of ours says itself how its weights are published (``Backbone.layouts`` and
``Backbone.own_key``); the table below has what other networks need.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from mmattn.weights.state_dicts import bare_name


@dataclass(frozen=True)
class Layout:
    """A way to name the tensors of a network.

    Args:
        name: Name for reports.
        marks: Regular expressions; in this layout each is found in some key.
        rename: Gives the name here for a key of the layout, and any other key as it is.
    """

    name: str
    marks: tuple[str, ...]
    rename: Callable[[str], str] = str


def _fpn_name(key: str) -> str:
    """Turn torchvision's detectors with an FPN into those of mmdet: the backbone and the neck."""
    # Before 0.13 a convolution stood there without the list that holds it now.
    for theirs, ours in (('inner_blocks', 'lateral_convs'), ('layer_blocks', 'fpn_convs')):
        pattern = rf'^(?:backbone\.fpn\.)?{theirs}\.(\d+)\.(?:0\.)?(weight|bias)$'
        key = re.sub(pattern, rf'neck.{ours}.\1.conv.\2', key)
    # Only RetinaNet and FCOS have them, whose pyramids begin with three levels of the backbone.
    for theirs, index in (('p6', 3), ('p7', 4)):
        pattern = rf'^(?:backbone\.fpn\.)?extra_blocks\.{theirs}\.'
        key = re.sub(pattern, f'neck.fpn_convs.{index}.conv.', key)
    return re.sub(r'^backbone\.body\.', 'backbone.', key)


# Blocks of each stage of MobileNetV2, and where torchvision has the layers of a block: the last
# convolution and its norm stand in the list of the block itself. The first block has no expansion.
_MOBILENET_V2 = (1, 2, 3, 4, 3, 3, 1)
_MOBILENET_V2_FIRST = {'0.0': '0.conv', '0.1': '0.bn', '1': '1.conv', '2': '1.bn'}
_MOBILENET_V2_OTHERS = {
    '0.0': '0.conv',
    '0.1': '0.bn',
    '1.0': '1.conv',
    '1.1': '1.bn',
    '2': '2.conv',
    '3': '2.bn',
}


def _mobilenet_v2_name(key: str) -> str:
    """Turn torchvision's MobileNetV2 into those of mmseg and mmpretrain, and into ours."""
    for theirs, ours in (('0', 'conv1'), ('18', 'conv2')):
        key = re.sub(rf'^features\.{theirs}\.0\.', f'{ours}.conv.', key)
        key = re.sub(rf'^features\.{theirs}\.1\.', f'{ours}.bn.', key)
    found = re.fullmatch(r'features\.(\d{1,2})\.conv\.(\d(?:\.\d)?)\.(\w+)', key)
    if found is None:
        return key
    block = int(found[1]) - 1
    layers = _MOBILENET_V2_FIRST if block == 0 else _MOBILENET_V2_OTHERS
    for stage, count in enumerate(_MOBILENET_V2, 1):
        if block < count:
            return f'layer{stage}.{block}.conv.{layers.get(found[2], found[2])}.{found[3]}'
        block -= count
    return key


# Blocks of each stage of EfficientNet-Lite0. The first block has no expansion.
_EFFICIENTNET_LITE0 = (1, 2, 2, 3, 3, 4, 1)
_EFFICIENTNET_FIRST = {
    '_depthwise_conv': 'conv_dw',
    '_bn1': 'bn1',
    '_project_conv': 'conv_pw',
    '_bn2': 'bn2',
}
_EFFICIENTNET_OTHERS = {
    '_expand_conv': 'conv_pw',
    '_bn0': 'bn1',
    '_depthwise_conv': 'conv_dw',
    '_bn1': 'bn2',
    '_project_conv': 'conv_pwl',
    '_bn2': 'bn3',
}
_EFFICIENTNET_ENDS = {
    '_conv_stem': 'conv_stem',
    '_bn0': 'bn1',
    '_conv_head': 'conv_head',
    '_bn1': 'bn2',
    '_fc': 'classifier',
}


def _efficientnet_lite0_name(key: str) -> str:
    """Turn EfficientNet-Lite0 of efficientnet_pytorch into that of timm."""
    layer, _, tensor = key.partition('.')
    if layer in _EFFICIENTNET_ENDS:
        return f'{_EFFICIENTNET_ENDS[layer]}.{tensor}'
    found = re.fullmatch(r'_blocks\.(\d{1,2})\.(\w+)\.(\w+)', key)
    if found is None:
        return key
    block = int(found[1])
    layers = _EFFICIENTNET_OTHERS if block else _EFFICIENTNET_FIRST
    for stage, count in enumerate(_EFFICIENTNET_LITE0):
        if block < count:
            return f'blocks.{stage}.{block}.{layers.get(found[2], found[2])}.{found[3]}'
        block -= count
    return key


def _renaming(*pairs: tuple[str, str]) -> Callable[[str], str]:
    """Make a function that substitutes in a key, for each pair, what the first of it matches."""

    def rename(key: str) -> str:
        for theirs, ours in pairs:
            key = re.sub(theirs, ours, key)
        return key

    return rename


_BLOCK = r'^((?:backbone\.)?layer\d\.\d+)\.'
# mmdet and mmseg have all layers of a deep stem in one sequence.
_DEEP_STEM = ((r'^conv1\.(\d)\.', r'stem.\1.'), (r'^bn1\.', 'stem.7.'))
_GSOP = r'(conv_for_DR|bn_for_DR|row_bn|row_conv_group|fc_adapt_channels)\.'

# From the general to the special: of several that fit, the last one is meant.
LAYOUTS = [
    Layout('torchvision ResNet', (r'^layer1\.0\.conv1\.weight$', r'^fc\.weight$')),
    Layout('mmpretrain ResNet', (r'^backbone\.layer1\.0\.conv1\.weight$', r'^head\.fc\.weight$')),
    Layout(
        'torchvision MobileNetV2',
        (r'^features\.1\.conv\.0\.0\.weight$', r'^features\.18\.1\.weight$'),
        _mobilenet_v2_name,
    ),
    Layout(
        'efficientnet_pytorch Lite0',
        (r'^_blocks\.15\._depthwise_conv\.weight$', r'^_conv_head\.weight$'),
        _efficientnet_lite0_name,
    ),
    Layout('mmdet and mmseg FPN', (r'^(neck\.)?lateral_convs\.0\.conv\.weight$',)),
    Layout('torchvision FPN', (r'^(backbone\.fpn\.)?inner_blocks\.0\.',), _fpn_name),
    Layout('ECA-ResNet', (r'^layer1\.0\.conv1\.weight$', r'\.eca\.conv\.weight$')),
    Layout('CBAM-ResNet', (r'^layer1\.0\.conv1\.weight$', r'\.cbam\.ChannelGate\.mlp\.1\.weight$')),
    Layout(
        'Triplet-ResNet',
        (
            r'^layer1\.0\.conv1\.weight$',
            r'\.triplet_attention\.ChannelGateH\.spatial\.conv\.weight$',
        ),
    ),
    Layout('SE-ResNet', (r'^layer1\.0\.conv1\.weight$', r'^layer1\.0\.se\.fc1\.weight$')),
    Layout(
        'timm ECA-ResNet-D',
        (r'^conv1\.6\.weight$', r'^layer1\.0\.se\.conv\.weight$'),
        _renaming((_BLOCK + r'se\.', r'\1.eca.'), *_DEEP_STEM),
    ),
    Layout('BAM-ResNet', (r'^bam1\.channel_att\.',), _renaming((r'^bam(\d)\.', r'layer\1.bam.'))),
    Layout(
        'SPNet',
        (r'^conv1\.6\.weight$', _BLOCK + r'spm\.'),
        _renaming((_BLOCK + r'spm\.', r'\1.strip_pooling.'), *_DEEP_STEM),
    ),
    Layout(
        'GSoP-ResNet', (_BLOCK + r'conv_for_DR\.',), _renaming((_BLOCK + _GSOP, r'\1.gsop.\2.'))
    ),
    Layout(
        'SimAM-ResNet', (_BLOCK + r'conv2\.0\.',), _renaming((_BLOCK + r'conv2\.0\.', r'\1.conv2.'))
    ),
    Layout(
        'GC-ResNet',
        (_BLOCK + r'context_block\.',),
        _renaming((_BLOCK + r'context_block\.', r'\1.global_context.')),
    ),
]


def register_backbone(marks: dict[str, str], own_key: Callable[[str], str]) -> None:
    """Add the layouts in which a backbone is published.

    Args:
        marks: For the name of each layout a regular expression that fits one of its keys from the
            beginning, with ``backbone.`` before it or not.
        own_key: Gives the name in the backbone for a key of any of them.
    """

    def rename(key: str) -> str:
        prefix = 'backbone.' if key.startswith('backbone.') else ''
        return prefix + own_key(key.removeprefix(prefix))

    for name, mark in marks.items():
        LAYOUTS.append(Layout(name, (rf'^(backbone\.)?{mark}',), rename))


def recognise(keys: Iterable[str]) -> Layout | None:
    """Tell in which layout of the table the keys of a state dict are; None if in none."""
    text = '\n'.join(keys)
    for layout in reversed(LAYOUTS):
        if all(re.search(mark, text, re.MULTILINE) for mark in layout.marks):
            return layout
    return None


def rename_published(module: nn.Module, state_dict: dict, prefix: str = '') -> None:
    """Give published tensors the names that they have in a module.

    A key is renamed only if that leads to a tensor of the module. The weights of an attention
    module in a block (``layer1.0.eca.*``) go to the one of this kind that was inserted into it.

    Args:
        module: Receiver of the weights.
        state_dict: The weights; changed in place.
        prefix: What stands before the keys of the module.
    """
    keys = [key.removeprefix(prefix) for key in state_dict if key.startswith(prefix)]
    layout = recognise(keys)
    ours = tensor_names(module)
    # TIMMBackbone of mmseg and mmpretrain has timm's network one step further down.
    own = {re.sub(r'(^|\.)timm_model\.', r'\1', bare_name(name)): name for name in ours}
    inserted = _inserted_by_published_name(module)
    names = {key: key for key in state_dict}
    there = set(state_dict)
    for key in keys:
        if key in ours:
            continue
        published = layout.rename(key) if layout else key
        # Last as it stands: mmcv's context block, for one, may be inserted under its own name.
        spellings = dict.fromkeys((published, key))
        for name in (re.sub(rf'^{part}', '', name) for name in spellings for part in _PARTS):
            attention = _longest_prefix(name, inserted)
            if attention:
                name = inserted[attention] + name.removeprefix(attention)
            # A module that is compiled, or wrapped itself, has longer names.
            name = own.get(name, name)
            if (attention or name in ours) and prefix + name not in there:
                names[prefix + key] = prefix + name
                there.add(prefix + name)
                break
    # Their order stays: what comes last may be cut off.
    renamed = {names[key]: value for key, value in state_dict.items()}
    state_dict.clear()
    state_dict.update(renamed)


def tensor_names(module: nn.Module) -> set[str]:
    """List the keys of a module's state dict, without gathering what is sharded."""
    return {
        f'{path}.{name}'.removeprefix('.')
        for path, part in module.named_modules(remove_duplicate=False)
        for name, _ in own_tensors(part)
    }


def own_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Give the tensors of a module, without those of its children, that a state dict has."""
    buffers = [b for b in module._buffers.items() if b[0] not in module._non_persistent_buffers_set]
    return ((n, t) for n, t in (*module._parameters.items(), *buffers) if t is not None)


# A file of a whole model may be meant for one of these.
_PARTS = ('', r'backbone\.', r'neck\.')


def _inserted_by_published_name(module: nn.Module) -> dict[str, str]:
    """List the inserted modules under the names that they would have as children of a block."""
    places = []
    for path, part in module.named_modules():
        parents = path.split('.')[:-1]
        if hasattr(part, '_abbr_') and any(p.startswith('inserted_attention') for p in parents):
            ancestors = ['.'.join(parents[:i]) for i in range(len(parents) + 1)]
            places += [(f'{a}.{part._abbr_}'.removeprefix('.'), path) for a in ancestors]
    # Where there are several of a kind, the published name does not tell which one is meant.
    counts = Counter(name for name, _ in places)
    return {name: path for name, path in places if counts[name] == 1}


def _longest_prefix(key: str, names: dict[str, str]) -> str | None:
    parts = key.split('.')
    prefixes = ('.'.join(parts[:i]) for i in range(len(parts) - 1, 0, -1))
    return next((prefix for prefix in prefixes if prefix in names), None)
