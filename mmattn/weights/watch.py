"""The watch over a host's own ``init_weights``, which calls ``load_state_dict`` where we cannot be.

However a host converts and loads its pretrained weights, it is seen what goes where. What we load
ourselves goes by :mod:`mmattn.weights.fit`.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn

from mmattn.compat import register_load_pre_hook
from mmattn.errors import InputError
from mmattn.weights.fit import Load, Observer, observed_by, observer
from mmattn.weights.layouts import Layout
from mmattn.weights.reading import weights_in
from mmattn.weights.report import Report
from mmattn.weights.sources import register_sources, telling


@contextmanager
def report_loads(module: nn.Module) -> Iterator[list[Report]]:
    """Log what the body, which initializes a module, loads into it or its parts, and check it.

    There is one line for each load, and weights of another network are refused unless the
    ``init_cfg`` that names them has ``strict_pretrained=False``. Within another such context it
    does nothing.

    Args:
        module: The module.

    Yields:
        A list that is filled with one report for each load, at the end.

    Raises:
        InputError: If weights are those of another network.
    """
    if observer() is not None:
        yield []
        return
    register_sources()
    lenient = _take_lenience(module)
    with watch_loads(module) as watch:
        try:
            yield watch.reports
        except (AssertionError, IndexError, KeyError) as error:
            # So ends the loader of a host that finds none of the keys that it knows.
            if not watch.source or watch.loads or watch.reports:
                raise
            raise InputError(
                f'pretrained {watch.source} has nothing that the loader of this '
                f'{type(module).__name__} finds ({type(error).__name__}: {error}); check the file, '
                'prefix, and what else converts its keys'
            ) from error
    reports = [load.report() for load in watch.loads]
    watch.reports += reports
    for load, report in zip(watch.loads, reports, strict=True):
        report.refuse_or_log(pretrained=True, strict=load.root not in lenient)


class Watch(Observer):
    """The loads that are seen.

    Args:
        loads: They, in their order.
        source: What was read last.
        layout: Layout there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[Load] = []
        self.source = ''
        self.layout: Layout | None = None
        self._missing: list[str] | None = None

    def note_read(self, source: str, checkpoint: dict) -> None:
        """Note the file that the next loads take."""
        weights = weights_in(checkpoint, source)
        self.source, self.layout = weights.source, weights.layout

    def before(
        self,
        part: nn.Module,
        state_dict: dict,
        prefix: str,
        metadata: dict,
        strict: bool,
        missing: list[str],
        *others: Any,
    ) -> None:
        """See what a part of a module is about to copy, and leave out what does not fit."""
        if observer() is not self:
            return
        # Every load has a list of its own, which tells the loads apart.
        if self._missing is not missing:
            self._missing = missing
            self.loads.append(Load(part, self.source or 'weights', self.layout, prefix))
        self.loads[-1].see(part, state_dict, prefix)

    def after(self, module: nn.Module, keys: Any) -> None:
        """Take over what is missing and left, so that nobody else complains of it."""
        if observer() is not self or module is not self.loads[-1].root:
            return
        load = self.loads[-1]
        load.unexpected = [key.removeprefix(load.prefix) for key in keys.unexpected_keys]
        load.aside, self.aside = self.aside, []
        keys.missing_keys.clear()
        keys.unexpected_keys.clear()


@contextmanager
def watch_loads(module: nn.Module) -> Iterator[Watch]:
    """Watch everything that is loaded into a module, by PyTorch, by mmengine or by itself.

    Missing tensors and tensors that are left do not make such a load fail, and those of another
    shape keep their values: the watch says so instead.

    Args:
        module: Module whose loads, or those of its parts, are watched.

    Yields:
        What is seen.
    """
    watch = Watch()
    with observed_by(watch), telling(watch.note_read), ExitStack() as stack:
        for part in module.modules():
            for handle in (
                register_load_pre_hook(part, watch.before),
                part.register_load_state_dict_post_hook(watch.after),
            ):
                stack.callback(handle.remove)
        yield watch


def _take_lenience(module: nn.Module) -> set[nn.Module]:
    """Take ``strict_pretrained``, which mmengine does not know, out of the configs.

    Returns:
        The modules that may be of another architecture than their pretrained weights.
    """
    lenient = set()
    for part in module.modules():
        cfgs = getattr(part, 'init_cfg', None) or []
        if getattr(part, 'role', None) == 'backbone' and isinstance(cfgs, dict):
            continue  # reads it itself
        for cfg in cfgs if isinstance(cfgs, list) else [cfgs]:
            if not cfg.pop('strict_pretrained', True):
                lenient.add(part)
    return lenient
