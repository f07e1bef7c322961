"""What a run tells of itself before its first iteration: ranks, data and model."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from io import StringIO
from typing import Any, NamedTuple

import torch
from mmengine.dataset import ClassBalancedDataset, ConcatDataset, RepeatDataset
from mmengine.device import get_device
from mmengine.dist import get_backend, get_world_size
from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import Runner
from rich import box
from rich.console import Console
from rich.table import Table
from torch import nn

from mmattn.attention.foreign import ForeignAttention
from mmattn.engine import terminal
from mmattn.launch.group import group
from mmattn.layers.blend import Blended
from mmattn.layers.plugins import plugins_of


class Overview(Hook):
    """Tell what begins, when all that freezes parts of the model has done so.

    Args:
        begin: What else is to be done then, on all ranks.
    """

    priority = 'LOWEST'

    def __init__(self, begin: Callable[[], None]) -> None:
        self._begin = begin
        self._is_done = False

    def before_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Tell of a training, before its first iteration."""
        if self._is_done:
            return
        loaders = dict(training=runner.train_dataloader)
        if runner.val_loop is not None:
            loaders['validation'] = runner.val_dataloader
        counts = (runner.cfg.get('optim_wrapper') or {}).get('accumulative_counts', 1)
        ranks = describe_ranks(runner, runner.train_dataloader)
        if counts > 1:
            ranks += f', gradients of {counts} batches accumulated'
        self._tell(runner, ranks, *describe_data(loaders), table_of_parts(whole_model(runner)))

    def before_test_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Tell of a test, before its first iteration."""
        if self._is_done:
            return
        loader = runner.test_dataloader
        model = whole_model(runner)
        parameters = f'{_count(model.parameters()):,} parameters'
        self._tell(
            runner,
            describe_ranks(runner, loader),
            *describe_data(dict(test=loader)),
            f'model: {type(model).__name__}, {parameters}',
        )

    def _tell(self, runner: Runner, *lines: str) -> None:
        self._is_done = True
        runner.logger.info('\n'.join(['', *lines]))
        self._begin()
        terminal.begin()


def whole_model(runner: Runner) -> Any:
    """Give the model, without what wraps it for several ranks or for test-time augmentation."""
    model = runner.model
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def describe_ranks(runner: Runner, loader: Any) -> str:
    """Say how many ranks there are, where they compute, and how many samples they take at once."""
    count = get_world_size()
    ours = group()
    if ours is None:
        cuda = torch.cuda.is_available() and get_device() == 'cuda'
        what = f'1, on {torch.cuda.get_device_name() if cuda else get_device()}'
    else:
        # The number of a GPU is of its host.
        devices = dict.fromkeys(re.sub(r'^cuda:\d+ ', '', rank['device']) for rank in ours.ranks)
        hosts = len({rank['host'] for rank in ours.ranks})
        what = f'{count} over {get_backend()}, started by {runner.launcher}, on '
        what += f'{", ".join(devices)}{f" of {hosts} hosts" if hosts > 1 else ""}'
    batch = getattr(getattr(loader, 'batch_sampler', None), 'batch_size', None)
    if isinstance(batch, int):
        product = f'{count} x {batch} = ' if count > 1 else ''
        what += f'; total batch size {product}{count * batch}'
    return f'ranks: {what}'


def describe_data(loaders: dict[str, Any]) -> Iterator[str]:
    """Say of each loader what it reads, one line each."""
    for name, loader in loaders.items():
        dataset = loader.dataset
        count = count_images(dataset)
        parts = [f'{"?" if count is None else f"{count:,}"} {_noun(dataset)}']
        metainfo = getattr(dataset, 'metainfo', None) or {}
        classes = metainfo.get('classes')
        if isinstance(classes, list | tuple):
            parts.append(f'{len(classes):,} class{"" if len(classes) == 1 else "es"}')
        kinds = dict.fromkeys(type(each).__name__ for each in _plain(dataset))
        yield f'{name}: {", ".join(parts)} ({", ".join(kinds)})'


def count_images(dataset: Any) -> int | None:
    """Count what a data set reads, each of it once, or give None if it does not tell."""
    if isinstance(dataset, RepeatDataset | ClassBalancedDataset):
        return count_images(dataset.dataset)
    if isinstance(dataset, ConcatDataset):
        counts = [count_images(each) for each in dataset.datasets]
        return None if None in counts else sum(filter(None, counts))
    return len(dataset) if hasattr(dataset, '__len__') else None


def _plain(dataset: Any) -> Iterator[Any]:
    """Give the data sets within wrappers."""
    inner = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    if isinstance(inner, list | tuple) and all(each is not None for each in inner):
        for each in inner:
            yield from _plain(each)
    else:
        yield dataset


def _noun(dataset: Any) -> str:
    # Of pose estimation, where one image may have several.
    modes = {getattr(each, 'data_mode', None) for each in _plain(dataset)}
    return 'persons' if modes == {'topdown'} else 'images'


# What a part of a model is called whose own parts are parts of the model.
_PART = re.compile(r'(^|_)(backbone|neck|head)$')
# How many frozen modules are named.
_NAMED = 4


class _Part(NamedTuple):
    name: str
    kind: str
    parameters: int
    frozen: int
    frozen_in: str
    attention: str
    attention_parameters: int


def table_of_parts(model: nn.Module) -> str:
    """Write a table of the parts of a model: what they are, what is frozen, what is attention.

    Parameters that several parts share are counted with the first of them. Attention is what is of
    mmattn, and what ``plugins`` of mmdet and mmseg put into a ResNet.
    """
    plugins = {id(plugin) for plugin in plugins_of(model).values()}
    seen: set[int] = set()
    parts = [_describe(*part, plugins, seen) for part in _parts(model)]
    # What the model holds itself.
    parts.append(_describe('(itself)', model, plugins, seen))
    whole = {part.name.rpartition('.')[0] for part in parts}
    named = [part.name for part in parts if _PART.search(part.name) and part.name not in whole]
    parts = [part for part in parts if part.parameters or part.name in named]
    total = _describe('total', model, plugins, set())._replace(frozen_in='')

    table = Table('part', 'type', box=box.ASCII2)
    shown = ['name', 'kind', 'parameters']
    table.add_column('parameters', justify='right')
    if total.frozen:
        shown += ['frozen', 'frozen_in']
        table.add_column('frozen', justify='right')
        table.add_column('in')
    if total.attention:
        shown += ['attention', 'attention_parameters']
        table.add_column('attention')
        table.add_column('its parameters', justify='right')
    for part in (*parts, total):
        if part is total:
            table.add_section()
        cells = [getattr(part, name) for name in shown]
        table.add_row(
            *(cell if isinstance(cell, str) else f'{cell:,}' if cell else '' for cell in cells)
        )
    text = StringIO()
    Console(file=text, width=200, color_system=None, markup=False).print(table)
    return text.getvalue().rstrip()


def _parts(module: nn.Module, prefix: str = '') -> Iterator[tuple[str, nn.Module]]:
    """Give the parts of a model by name, those of a RoI head and of a teacher each by itself."""
    for name, child in module.named_children():
        if any(_PART.search(own) for own, _ in child.named_children()):
            yield from _parts(child, f'{prefix}{name}.')
        yield f'{prefix}{name}', child


def _describe(name: str, module: nn.Module, plugins: set[int], seen: set[int]) -> _Part:
    """Describe what of a module has not been seen yet."""
    parameters = [p for p in module.parameters() if id(p) not in seen]
    frozen = [p for p in parameters if not p.requires_grad]
    found = dict.fromkeys(_attention_in(module, plugins))
    attention = [each for each in found if id(each) not in seen]
    seen.update(map(id, [*parameters, *attention]))
    kinds = Counter(_kind(each) for each in attention)
    return _Part(
        name,
        _kind(module),
        _count(parameters),
        _count(frozen),
        _places(module, frozen, parameters),
        ', '.join(f'{count} {kind}' for kind, count in kinds.items()),
        _count({id(p): p for each in attention for p in each.parameters()}.values()),
    )


def _attention_in(module: nn.Module, plugins: set[int]) -> Iterator[nn.Module]:
    """Give the attention modules in a module, each once, and none within another one."""
    if isinstance(module, Blended) or id(module) in plugins:
        yield module
        return
    for child in module.children():
        yield from _attention_in(child, plugins)


def _places(module: nn.Module, frozen: list[nn.Parameter], parameters: list[nn.Parameter]) -> str:
    """Name the modules that hold what is frozen."""
    if frozen and len(frozen) == len(parameters):
        return 'all of it'
    found = set(map(id, frozen))
    names = [
        name
        for name, child in module.named_children()
        if any(id(p) in found for p in child.parameters())
    ]
    return ', '.join(names[:_NAMED] + ['...'] * (len(names) > _NAMED))


def _kind(module: nn.Module) -> str:
    if isinstance(module, nn.ModuleList):
        kinds = Counter(map(_kind, module))
        return ', '.join(f'{count} {kind}' for kind, count in kinds.items())
    if type(module) is ForeignAttention:
        return type(getattr(module, module.inner_name)).__name__
    # A sharded module is of a class made for it, FSDPName of FSDPModule and Name.
    name, *bases = [kind.__name__ for kind in type(module).__mro__]
    return name.removeprefix('FSDP') if 'FSDPModule' in bases else name


def _count(parameters: Iterable[nn.Parameter]) -> int:
    # A lazy one has no shape yet.
    return sum(p.numel() for p in parameters if not isinstance(p, nn.UninitializedParameter))
