"""Load what of weights fits a module, and know it before anything is changed.

PyTorch itself is asked, by a load that copies nothing: modules of all packages rename, resize and
leave out tensors while they load, and no list of names and shapes tells what comes of it.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from mmattn.compat import register_load_pre_hook
from mmattn.layers.plugins import plugins_of
from mmattn.weights.layouts import Layout, own_tensors, rename_published
from mmattn.weights.reading import Weights
from mmattn.weights.report import Report, is_head


@dataclass(frozen=True)
class Fit:
    """What of weights fits a module.

    Args:
        module: The module.
        tensors: What fits of them, as the module takes it, by its names there.
        report: What is said of it.
    """

    module: nn.Module
    tensors: dict[str, Tensor]
    report: Report

    def refuse_or_report(self, **how) -> None:
        """Refuse the weights of another network, or log one line of what fits.

        Args:
            how: See :meth:`mmattn.weights.report.Report.refuse_or_log`.

        Raises:
            InputError: If a tensor of the host is missing or of another shape, or too much is left.
        """
        observer = _observer.get()
        if observer is not None:
            observer.reports.append(self.report)
        self.report.refuse_or_log(**how)

    def load(self) -> None:
        """Load what fits."""
        with observed_by(None):
            self.module.load_state_dict(self.tensors, strict=False)


def fit_weights(weights: Weights, module: nn.Module) -> Fit:
    """Tell what of weights fits a module, which stays as it is.

    Args:
        weights: The weights; published ones have their published names.
        module: Their receiver, on any device.

    Returns:
        What fits.
    """
    state_dict = dict(weights.tensors)
    rename_published(module, state_dict)
    load = Load(module, weights.source, weights.layout)
    trial = Observer([*weights.aside])

    def keep_from_copying(part: nn.Module, state_dict: dict, prefix: str, *args: Any) -> None:
        load.see(part, state_dict, prefix)
        for name, _ in own_tensors(part):
            state_dict.pop(prefix + name, None)

    with observed_by(trial), ExitStack() as stack:
        for part in module.modules():
            stack.callback(register_load_pre_hook(part, keep_from_copying).remove)
        load.unexpected = module.load_state_dict(state_dict, strict=False).unexpected_keys
    load.aside = trial.aside
    return Fit(module, load.taken, load.report())


@dataclass(eq=False)
class Load:
    """What one load offers to a module, and where it goes.

    Args:
        root: Module that is loaded.
        source: Where the weights come from.
        layout: Layout of the weights, if it is a known one.
        prefix: What stands before its keys.
        offered: Keys that it is given.
        known: Those, with what modules rename them to on the way.
        taken: Tensors that fit, by their names in the module.
        absent: Names of tensors that the load does not have.
        other_shape: Names of tensors that it has in another shape: both shapes.
        unexpected: Keys that the module does not know.
        aside: Names of what was set aside on the way.
    """

    root: nn.Module
    source: str
    layout: Layout | None
    prefix: str = ''
    offered: list[str] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    taken: dict[str, Tensor] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    other_shape: dict[str, tuple[Sequence[int], Sequence[int]]] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)

    def see(self, part: nn.Module, state_dict: dict, prefix: str) -> None:
        """Note what the tensors of one part get, and leave out what does not fit."""
        if part is self.root and not self.offered:
            self.offered = [key.removeprefix(prefix) for key in state_dict]
        if part is self.root or any(part.children()):
            self.known.update(state_dict)
        for own_name, tensor in own_tensors(part):
            key = prefix + own_name
            name = key.removeprefix(self.prefix)
            if key not in state_dict or self._is_own_counter(key, state_dict, tensor):
                self.absent.append(name)
                continue
            theirs = state_dict[key].shape
            # PyTorch itself takes one number for a scalar.
            if theirs == tensor.shape or (tensor.dim() == 0 and theirs == (1,)):
                self.taken[name] = state_dict[key]
            else:
                self.other_shape[name] = (theirs, tensor.shape)
                del state_dict[key]

    def _is_own_counter(self, key: str, state_dict: dict, tensor: Tensor) -> bool:
        """Tell what batch norm offers itself where an old file has no counter.

        Newer versions of PyTorch offer the counter that it has, older ones and the meta device a
        new one, so that only its key tells.
        """
        added = key.endswith('num_batches_tracked') and key not in self.known
        return added or state_dict[key] is tensor

    def report(self) -> Report:
        """Sum up."""
        kinds = _Kinds(self.root)
        needed = {name for name in (*self.absent, *self.other_shape) if kinds.is_needed(name)}
        reasons = {name: kinds.reason_to_be_new(name) for name in needed}
        # A network that ends before this one's last tensor was cut off; what is left before is not.
        last = max((i for i, key in enumerate(self.offered) if key in self.taken), default=0)
        before = set(self.offered[:last])
        foreign = [key for key in self.unexpected if not kinds.is_in_slot(key)]
        return Report(
            source=self.source,
            receiver=type(self.root).__name__,
            layout=self.layout,
            loaded=tuple(self.taken),
            new={n: why for n in (*self.absent, *self.other_shape) if (why := reasons.get(n))},
            missing=tuple(n for n in self.absent if n in needed and not reasons[n]),
            other_shape={n: s for n, s in self.other_shape.items() if n in needed},
            unused=(*self.aside, *self.unexpected),
            foreign=tuple(foreign),
            left_inside=tuple(
                key
                for key in foreign
                if key in before
                and key.endswith(('weight', 'bias'))
                and hasattr(self.root, key.split('.')[0])
            ),
        )


class _Kinds:
    """What the tensors of a module are: attention, heads, output norms, constants."""

    def __init__(self, root: nn.Module) -> None:
        self.is_backbone = _role(root) == 'backbone'
        self.slots = {m.slot for m in root.modules() if _role(m) == 'backbone'}
        self.parameters = {name for name, _ in root.named_parameters(remove_duplicate=False)}
        self.attention = set(plugins_of(root))
        for path, module in root.named_modules(remove_duplicate=False):
            if _role(module) == 'attention':
                self.attention.add(path)

    def is_needed(self, name: str) -> bool:
        """Tell weights and statistics from counters and from constants that a host computes."""
        return name in self.parameters or name.endswith(('running_mean', 'running_var'))

    def reason_to_be_new(self, name: str) -> str | None:
        """Say why a tensor may be new; None if it may not."""
        if self._is_attention(name):
            return 'attention'
        if is_head(name):
            return 'head'
        # A backbone for dense prediction has one per map, a classifier at most the last one.
        if not self.is_backbone and re.fullmatch(r'norm\d+\.(weight|bias)', name):
            return 'output norm'
        return None

    def _is_attention(self, name: str) -> bool:
        parts = name.split('.')
        if any(part.startswith('inserted_attention') for part in parts) or self.is_in_slot(name):
            return True
        return any('.'.join(parts[:i]) in self.attention for i in range(len(parts)))

    def is_in_slot(self, name: str) -> bool:
        """Tell whether a key belongs to the exchangeable module of a block of ours."""
        return any(f'.{slot}.' in name for slot in self.slots)


def _role(module: nn.Module) -> str | None:
    return getattr(module, 'role', None)


@dataclass(eq=False)
class Observer:
    """Who is told what happens on the way of a load.

    Args:
        aside: Names of tensors that a module sets aside.
        reports: What is reported of fits.
    """

    aside: list[str] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)


_observer: ContextVar[Observer | None] = ContextVar('observer', default=None)


def observer() -> Observer | None:
    """Give who observes the loads of this moment."""
    return _observer.get()


@contextmanager
def observed_by(observer: Observer | None) -> Iterator[None]:
    """Let somebody observe what the body loads, and nobody else."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


def note_aside(keys: list[str]) -> bool:
    """Tell the observer of tensors that a module sets aside; False if there is none."""
    observer = _observer.get()
    if observer is not None:
        observer.aside += keys
    return observer is not None
