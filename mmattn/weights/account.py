"""What a load did: which tensors of a module came from a file, which are new, what was unused."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from torch import Tensor, nn

from mmattn.errors import InputError
from mmattn.layers.plugins import plugins_of
from mmattn.weights.files import find_state_dict
from mmattn.weights.layouts import (
    Layout,
    own_tensors,
    recognise,
    rename_published,
)

_HEAD = re.compile(r'^(fc|classifier)\.|^(.*\.)?\w*heads?\.')


@dataclass(frozen=True)
class Account:
    """What fits between the tensors of a module and those of a file.

    Args:
        receiver: Name of the module's class.
        layout: Layout of the file, if it is a known one.
        loaded: Tensors of the module that the file has.
        new: Tensors that the file does not have or has in another shape, and that may be new, each
            with the reason: ``'attention'``, ``'head'`` or ``'output norm'``.
        missing: Other tensors of the module that the file does not have.
        other_shape: Tensors, new or not, whose shape in the file is another one: both shapes.
        unused: Tensors that only the file has.
        foreign: Those of them that the module knows nothing of; a part that was not built is known.
        left_inside: Those of them that belong to a part of the module and are not of attention:
            the network in the file has more blocks or layers.
    """

    receiver: str
    layout: Layout | None
    loaded: tuple[str, ...]
    new: dict[str, str]
    missing: tuple[str, ...]
    other_shape: dict[str, tuple[Sequence[int], Sequence[int]]]
    unused: tuple[str, ...]
    foreign: tuple[str, ...]
    left_inside: tuple[str, ...]

    @property
    def mismatched(self) -> list[str]:
        """Tensors of another shape that may not be new."""
        return [name for name in self.other_shape if name not in self.new]

    def line(self, source: str) -> str:
        """Say in one line what of the file ``source`` fits."""
        layout = f' ({self.layout.name} layout)' if self.layout else ''
        total = len(self.loaded) + len(self.missing) + len(self.mismatched)
        line = f'{source}{layout}: {len(self.loaded)}/{total} host tensors loaded'
        for names, what in ((self.missing, 'missing'), (self.mismatched, 'of another shape')):
            if names:
                line += f', {len(names)} {what} ({names[0]}{", ..." if len(names) > 1 else ""})'
        if self.new:
            kinds = Counter(self.new.values())
            listed = [f'{count} {kind}' for kind, count in kinds.items()]
            reasons = f'all {next(iter(kinds))}' if len(kinds) == 1 else ', '.join(listed)
            reshaped = len(self.other_shape) - len(self.mismatched)
            reasons += f'; {reshaped} of another shape there' if reshaped else ''
            line += f', {len(self.new)} new ({reasons})'
        if self.unused:
            line += f', {len(self.unused)} unused ({_groups(self.unused)})'
        return line

    def listing(self) -> dict[str, list[str]]:
        """List all that does not simply fit, by what is the matter with it."""
        shapes = {
            name: f'{name}: {tuple(theirs)} there, {tuple(ours)} here'
            for name, (theirs, ours) in self.other_shape.items()
        }
        groups = {
            'missing there': list(self.missing),
            'of another shape': [shapes[name] for name in self.mismatched],
        }
        for name, kind in self.new.items():
            groups.setdefault(f'new ({kind})', []).append(shapes.get(name, name))
        groups['unused'] = list(self.unused)
        return {title: names for title, names in groups.items() if names}

    def faults(self, *, exact: bool = False, only_heads_left: bool = False) -> list[str]:
        """List what makes these the weights of another network.

        Args:
            exact: Whether nothing may be new or unknown here.
            only_heads_left: Whether only heads may be unknown here.

        Returns:
            The reasons, the name of a tensor first.
        """
        new = self.new if exact else {}
        left = self.foreign if exact or only_heads_left else self.left_inside
        faults = []
        for name in [*self.mismatched, *(name for name in new if name in self.other_shape)]:
            theirs, ours = (tuple(shape) for shape in self.other_shape[name])
            faults.append(f'{name}: shape {theirs} there, {ours} here')
        for name in [*self.missing, *(name for name in new if name not in self.other_shape)]:
            near = get_close_matches(name, self.unused, n=1) if len(faults) < 2 else []
            faults.append(f'{name}: missing there{f", nearest is {near[0]}" if near else ""}')
        for key in left:
            if exact or not is_head(key):
                faults.append(f'{key}: missing here')
        return faults

    def refuse(self, source: str, advice: str = 'use weights of this architecture', **how) -> None:
        """Refuse the weights of another network.

        Args:
            source: Where the weights come from.
            advice: What to do.
            how: See :meth:`faults`.

        Raises:
            InputError: If there are faults.
        """
        faults = self.faults(**how)
        if not faults:
            return
        total = len(self.loaded) + len(self.missing) + len(self.mismatched)
        if not self.loaded and _count(self.unused, 'backbone.') and 'backbone' not in self.receiver:
            advice = "give prefix='backbone.' beside the checkpoint if they are those of a model"
        raise InputError(
            f'{source} is of another architecture than this {self.receiver}: '
            f'{len(self.loaded)} of {total} tensors fit, {len(faults)} do not '
            f'({"; ".join(faults[:2])}{"; ..." if len(faults) > 2 else ""}); {advice}'
        )


def is_head(name: str) -> bool:
    """Tell whether a tensor belongs to a head, by its name."""
    return _HEAD.match(name) is not None


def _count(keys: Sequence[str], prefix: str) -> int:
    return sum(key.startswith(prefix) for key in keys)


def _groups(keys: Sequence[str]) -> str:
    groups = list(dict.fromkeys(re.sub(r'\..*', '.*', key) for key in keys))
    return ', '.join([*groups[:3], *(['...'] if len(groups) > 3 else [])])


def account(module: nn.Module, state_dict: dict[str, Tensor]) -> Account:
    """Compare a module with weights, whose published keys are renamed; nothing is loaded.

    Args:
        module: Receiver of the weights, on any device.
        state_dict: The weights.

    Returns:
        What loading them would do.
    """
    return match(module, state_dict).account()


def match(module: nn.Module, state_dict: dict[str, Tensor]) -> 'Load':
    """Try a load that changes nothing; the result tells which tensor would go where."""
    with watch(module, dry=True) as loads:
        loads.note_read('', state_dict)
        state_dict = dict(state_dict)
        rename_published(module, state_dict)
        module.load_state_dict(state_dict, strict=False)
    [load] = loads
    return load


class Load:
    """One load that was watched: what was offered to a module and what of it was taken.

    Args:
        root: Module that was loaded.
        prefix: What stood before its keys.
        offered: Keys that it was given.
        source: Where they were read from.
        layout: Layout there.
    """

    def __init__(
        self,
        root: nn.Module,
        prefix: str,
        offered: Sequence[str],
        source: str | None,
        layout: Layout | None,
    ) -> None:
        self.root = root
        self.prefix = prefix
        self.offered = [key.removeprefix(prefix) for key in offered]
        self.source = source
        self.layout = layout
        self.taken: dict[str, Tensor] = {}
        self.absent: list[str] = []
        self.other_shape: dict[str, tuple[Sequence[int], Sequence[int]]] = {}
        self.unexpected: list[str] = []
        self.aside: list[str] = []

    def see(self, module: nn.Module, state_dict: dict, prefix: str, dry: bool) -> None:
        """Note what the tensors of one module get; leave out what does not fit, or all of it."""
        for own_name, tensor in own_tensors(module):
            key = prefix + own_name
            name = key.removeprefix(self.prefix)
            # Batch norm offers itself the counter that an old file does not have.
            if state_dict.get(key, tensor) is tensor:
                self.absent.append(name)
                continue
            theirs = state_dict[key].shape
            # PyTorch itself takes one number for a scalar.
            fits = theirs == tensor.shape or (tensor.dim() == 0 and theirs == (1,))
            if fits:
                self.taken[name] = state_dict[key]
            else:
                self.other_shape[name] = (theirs, tensor.shape)
            if dry or not fits:
                del state_dict[key]

    def account(self) -> Account:
        """Sum up."""
        kinds = _Kinds(self.root)
        needed = {name for name in (*self.absent, *self.other_shape) if kinds.is_needed(name)}
        new = {name: kind for name in needed if (kind := kinds.kind(name))}
        new = {name: new[name] for name in (*self.absent, *self.other_shape) if name in new}
        # A network that ends before this one's last tensor was cut off; what is left before is not.
        last = max((i for i, key in enumerate(self.offered) if key in self.taken), default=0)
        before = set(self.offered[:last])
        return Account(
            receiver=type(self.root).__name__,
            layout=self.layout,
            loaded=tuple(self.taken),
            new=new,
            missing=tuple(n for n in self.absent if n in needed and n not in new),
            other_shape={n: s for n, s in self.other_shape.items() if n in needed},
            unused=(*self.aside, *self.unexpected),
            foreign=tuple(key for key in self.unexpected if not kinds.is_in_slot(key)),
            left_inside=tuple(
                key
                for key in self.unexpected
                if key in before
                and key.endswith(('weight', 'bias'))
                and hasattr(self.root, key.split('.')[0])
                and not kinds.is_in_slot(key)
            ),
        )


class Loads(list[Load]):
    """The loads that a watch has seen."""

    def __init__(self, dry: bool) -> None:
        super().__init__()
        self.dry = dry
        self.source: str | None = None
        self.layout: Layout | None = None
        self.aside: list[str] = []
        self._missing: list[list[str]] = []

    def note_read(self, source: str, checkpoint: dict) -> None:
        """Note the file that the next loads take."""
        self.source, self.layout = source, recognise(find_state_dict(checkpoint))

    def before(
        self,
        module: nn.Module,
        state_dict: dict,
        prefix: str,
        metadata: dict,
        strict: bool,
        missing: list[str],
        *others: Any,
    ) -> None:
        """See what a module is about to copy."""
        if _watched.get() is not self:
            return
        # Every load has a list of its own, which tells the loads apart.
        if not self._missing or self._missing[-1] is not missing:
            self._missing.append(missing)
            self.append(Load(module, prefix, list(state_dict), self.source, self.layout))
        self[-1].see(module, state_dict, prefix, self.dry)

    def after(self, module: nn.Module, keys: Any) -> None:
        """Take over what is missing and left, so that nobody else complains of it."""
        if _watched.get() is not self or module is not self[-1].root:
            return
        load = self[-1]
        load.unexpected = [key.removeprefix(load.prefix) for key in keys.unexpected_keys]
        load.aside, self.aside = self.aside, []
        keys.missing_keys.clear()
        keys.unexpected_keys.clear()


_watched: ContextVar[Loads | None] = ContextVar('watched', default=None)


@contextmanager
def watch(module: nn.Module, dry: bool = False) -> Iterator[Loads]:
    """Watch everything that is loaded into a module, by PyTorch, by mmengine or by itself.

    Missing tensors and tensors that are left do not make such a load fail, and those of another
    shape keep their values: the list says so instead.

    Args:
        module: Module whose loads, or those of its parts, are watched.
        dry: Whether to load nothing.

    Yields:
        The loads, in their order.
    """
    loads = Loads(dry)
    token = _watched.set(loads)
    with ExitStack() as stack:
        stack.callback(_watched.reset, token)
        for part in module.modules():
            for handle in (
                part.register_load_state_dict_pre_hook(loads.before),
                part.register_load_state_dict_post_hook(loads.after),
            ):
                stack.callback(handle.remove)
        yield loads


def is_watched() -> bool:
    """Tell whether a watch is on."""
    return _watched.get() is not None


def note_read(source: str, checkpoint: Any) -> None:
    """Tell a watch which file is being loaded."""
    loads = _watched.get()
    if loads is not None and isinstance(checkpoint, dict):
        loads.note_read(source, checkpoint)


def note_aside(keys: list[str]) -> bool:
    """Tell a watch of tensors that a module sets aside; False if there is no watch."""
    loads = _watched.get()
    if loads is not None:
        loads.aside += keys
    return loads is not None


def _role(module: nn.Module) -> str | None:
    return getattr(module, 'role', None)


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

    def kind(self, name: str) -> str | None:
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
