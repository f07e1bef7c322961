"""What the heads of a model expect of the number of classes, by their configs.

Where nobody can tell whether a number works it is left alone: heads of other packages, heads that
count something of their own, and forms of a problem of two classes.
"""

import inspect
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from mmengine.registry import MODELS

from mmattn.probe.signatures import is_of_openmmlab, options_of, stood_for

# Heads that count something else than the classes of the data, with those that inherit from them,
# and options that have such heads.
_OWN_COUNT = {
    *('RPNHead', 'FusedSemanticHead', 'STDCHead', 'RegressionHead', 'LinearReIDHead', 'CLRHead'),
    *('ATSSVLFusionHead', 'GroundingDINOHead', 'SideAdapterCLIPHead', 'MarginHead'),
    'MultiTaskHead',
}
_OWN_COUNT_INSIDE = ('rpn_head', 'reid', 'task_heads', 'teacher')
# What counts the classes, but only where a config says so.
_IF_GIVEN = ('LabelSmoothLoss', 'SeesawLoss', 'VGG', 'AlexNet', 'LeNet5', 'InceptionV3')


class Head(NamedTuple):
    """A part of a model that counts classes.

    Args:
        key: Where it stands in the config.
        kind: Its class.
        cfg: Its config.
    """

    key: str
    kind: type
    cfg: dict

    def number(self, option: str = 'num_classes') -> int | None:
        """Give a number of classes, which may be a default; None if there is none."""
        value = self.cfg.get(option, _default(self.kind, option))
        return value if isinstance(value, int) and value > 0 else None


class Wrong(NamedTuple):
    """A number of classes that is not that of the data."""

    key: str
    given: int
    expected: int


def heads_in(node: Any, where: str = 'model') -> Iterator[Head]:
    """Find the parts of a model that count the classes of the data.

    Args:
        node: Config of the model, looked up in the scope that is the default now.
        where: Where it stands in the whole config.
    """
    # A tracker keeps what a detector finds of some of the classes.
    if isinstance(node, dict) and 'tracker' not in node:
        with MODELS.switch_scope_and_registry(node.get('_scope_')) as registry:
            kind = node.get('type')
            kind = stood_for(registry.get(kind) if isinstance(kind, str) else kind)
            if inspect.isclass(kind) and _counts_classes(kind, node):
                yield Head(where, kind, node)
            for option, value in node.items():
                if option not in _OWN_COUNT_INSIDE:
                    yield from heads_in(value, f'{where}.{option}')
    elif isinstance(node, list | tuple):
        for i, value in enumerate(node):
            yield from heads_in(value, f'{where}.{i}')


def wrong_counts(model: dict, metainfo: dict) -> list[Wrong]:
    """Compare the numbers of classes in a model with those of the data.

    Args:
        model: Config of the model.
        metainfo: What a data set says of itself, with ``classes``.
    """
    found = []
    total = len(metainfo['classes'])
    things, stuff = (len(metainfo.get(f'{kind}_classes') or ()) for kind in ('thing', 'stuff'))
    if things + stuff != total:
        things, stuff = total, 0
    for head in heads_in(model):
        given = head.number()
        expected = things if _package_of(head) == 'mmdet' else total
        if given and given != expected and not _may_differ(head, given, expected):
            found.append(Wrong(f'{head.key}.num_classes', given, expected))
        for option, expected in (('num_things_classes', things), ('num_stuff_classes', stuff)):
            # Those of a head that the data have none of, or that all are, may be a default.
            if option in head.cfg and head.cfg[option] != expected:
                found.append(Wrong(f'{head.key}.{option}', head.cfg[option], expected))
    return [*found, *_wrong_in_preprocessor(model, total)]


def faults_of_class_weights(model: dict) -> Iterator[str]:
    """Compare the length of each list of weights with the number of classes of its head."""
    for head in heads_in(model):
        classes = head.number() or sum(
            head.number(f'num_{kind}_classes') or 0 for kind in ('things', 'stuff')
        )
        for option, losses in head.cfg.items():
            if classes and str(option).startswith('loss'):
                several = isinstance(losses, list | tuple)
                for i, loss in enumerate(losses if several else [losses]):
                    where = f'{head.key}.{option}.{i}' if several else f'{head.key}.{option}'
                    yield from _faults_of_weights(loss, where, head, classes)


def faults_of_out_channels(model: dict) -> Iterator[str]:
    """Find heads of mmseg that give neither one channel for each class nor one for two classes."""
    for head in heads_in(model):
        classes, channels = head.number(), head.cfg.get('out_channels')
        fits = not isinstance(channels, int) or channels in (1, classes)
        if _gives_channels(head) and classes and not fits:
            yield (
                f'{head.key}.out_channels={channels} has to be num_classes={classes}, or 1 for two '
                'classes'
            )


def faults_of_topk(model: dict, evaluator: Any, where: str) -> Iterator[str]:
    """Find a metric that asks for the best of more classes than a classifier has."""
    counts = [head.number() for head in heads_in(model) if _package_of(head) == 'mmpretrain']
    if isinstance(evaluator, dict) and 'metrics' in evaluator:
        evaluator, where = evaluator['metrics'], f'{where}.metrics'
    several = isinstance(evaluator, list | tuple)
    for i, metric in enumerate(evaluator if several else [evaluator]):
        if isinstance(metric, dict) and metric.get('type') in ('Accuracy', 'mmpretrain.Accuracy'):
            asked = metric.get('topk', 1)
            most = max(asked) if isinstance(asked, list | tuple) else asked
            if len(counts) == 1 and counts[0] and most > counts[0]:
                yield (
                    f'{where}{f".{i}" if several else ""}.topk={asked} asks for the best {most} of '
                    f'{counts[0]} classes'
                )


def _counts_classes(kind: type, cfg: dict) -> bool:
    if not is_of_openmmlab(kind) or {base.__name__ for base in kind.__mro__} & _OWN_COUNT:
        return False
    known = options_of(kind).names
    if kind.__name__ in _IF_GIVEN:
        return 'num_classes' in cfg and 'num_classes' in known
    counts = {'num_classes', 'num_things_classes', 'num_stuff_classes'} & known
    return bool(counts) and kind.__name__.endswith(('Head', 'Protonet'))


def _may_differ(head: Head, given: int, expected: int) -> bool:
    """Tell whether a number works although it is not that of the data."""
    if head.cfg.get('class_agnostic'):
        return True
    if not _gives_channels(head) or {given, expected} != {1, 2}:
        return False
    # One channel tells two classes apart, unless a softmax is taken over it.
    channels = head.cfg.get('out_channels') or given
    return channels == 1 and not any(_is_softmax(loss) for loss in _losses_of_segmentation(head))


def _losses_of_segmentation(head: Head) -> Sequence[Any]:
    losses = head.cfg.get('loss_decode', {'type': 'CrossEntropyLoss'})
    return losses if isinstance(losses, list | tuple) else [losses]


def _is_softmax(loss: Any) -> bool:
    return (
        isinstance(loss, dict)
        and str(loss.get('type')).endswith('CrossEntropyLoss')
        and not loss.get('use_sigmoid')
        and not loss.get('use_mask')
    )


def _wrong_in_preprocessor(model: dict, total: int) -> Iterator[Wrong]:
    """Look at where mmpretrain makes vectors of labels, which mixing images needs."""
    cfg = model.get('data_preprocessor')
    augments = (model.get('train_cfg') or {}).get('augments')
    if not isinstance(cfg, dict) or cfg.get('num_classes') in (None, total):
        return
    if augments or cfg.get('batch_augments') or cfg.get('to_onehot'):
        yield Wrong('model.data_preprocessor.num_classes', cfg['num_classes'], total)


def _faults_of_weights(loss: Any, where: str, head: Head, classes: int) -> Iterator[str]:
    weights = loss.get('class_weight') if isinstance(loss, dict) else None
    if not isinstance(weights, list | tuple):
        return
    with MODELS.switch_scope_and_registry(None) as registry:
        kind = loss.get('type')
        kind = registry.get(kind) if isinstance(kind, str) else kind
    package = str(getattr(kind, '__module__', '')).partition('.')[0]
    name = getattr(kind, '__name__', '')
    reason = f'{classes} classes'
    if _gives_channels(head) and head.cfg.get('out_channels'):
        classes = head.cfg['out_channels']
        reason = f'out_channels={classes}'
    if name == 'CrossEntropyLoss' and not loss.get('use_mask'):
        if package == 'mmdet' and not loss.get('use_sigmoid'):
            classes += 1
            reason = f'{reason} and the background'
    elif package != 'mmseg' or name not in ('FocalLoss', 'OhemCrossEntropy'):
        return
    # A sigmoid takes one weight for all classes, too.
    is_sigmoid = loss.get('use_sigmoid') or name == 'FocalLoss'
    if len(weights) != classes and not (len(weights) == 1 and is_sigmoid):
        yield f'{where}.class_weight has {len(weights)} weights, expected {classes} for {reason}'


def _gives_channels(head: Head) -> bool:
    """Tell whether ``out_channels`` of a head are the scores that it gives."""
    return any(base.__name__ == 'BaseDecodeHead' for base in head.kind.__mro__)


def _package_of(head: Head) -> str:
    """Tell whose conventions a head follows."""
    packages = [base.__module__.partition('.')[0] for base in head.kind.__mro__]
    return next((p for p in packages if p in ('mmdet', 'mmseg', 'mmpretrain')), '')


def _default(kind: type, option: str) -> Any:
    """Give the default that the first constructor of a class has which takes an option."""
    for base in kind.__mro__:
        if '__init__' in vars(base):
            parameter = inspect.signature(vars(base)['__init__']).parameters.get(option)
            if parameter:
                return parameter.default
    return None
