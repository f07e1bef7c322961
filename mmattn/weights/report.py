"""What is said of weights and a module: one line of what fits, a list, or a refusal."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from mmengine.logging import print_log

from mmattn.errors import InputError
from mmattn.weights.layouts import Layout

_HEAD = re.compile(r'^(fc|classifier)\.|^(.*\.)?\w*heads?\.')


@dataclass(frozen=True)
class Report:
    """What fits between the tensors of a module and those of a file.

    Args:
        source: Where the file is.
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

    source: str
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

    @property
    def total(self) -> int:
        """Number of tensors that may not be new, and of what else is loaded."""
        return len(self.loaded) + len(self.missing) + len(self.mismatched)

    def line(self) -> str:
        """Say in one line what of the file fits."""
        layout = f' ({self.layout.name} layout)' if self.layout else ''
        line = f'{self.source}{layout}: {len(self.loaded)}/{self.total} host tensors loaded'
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
        return [*self._unfit(exact), *self._left_over(exact, only_heads_left)]

    def _unfit(self, exact: bool) -> list[str]:
        """List tensors of the module that do not get what they need."""
        new = self.new if exact else {}
        faults = []
        for name in [*self.mismatched, *(name for name in new if name in self.other_shape)]:
            theirs, ours = (tuple(shape) for shape in self.other_shape[name])
            faults.append(f'{name}: shape {theirs} there, {ours} here')
        for name in [*self.missing, *(name for name in new if name not in self.other_shape)]:
            near = get_close_matches(name, self.unused, n=1) if len(faults) < 2 else []
            faults.append(f'{name}: missing there{f", nearest is {near[0]}" if near else ""}')
        return faults

    def _left_over(self, exact: bool, only_heads_left: bool) -> list[str]:
        """List tensors of the file that the module should have."""
        left = self.foreign if exact or only_heads_left else self.left_inside
        return [f'{key}: missing here' for key in left if exact or not is_head(key)]

    def refuse_or_log(
        self,
        *,
        pretrained: bool = False,
        strict: bool = True,
        exact: bool = False,
        only_heads_left: bool = False,
    ) -> None:
        """Refuse the weights of another network, or log the line.

        Args:
            pretrained: Whether an ``init_cfg`` names them.
            strict: Whether to refuse any.
            exact: See :meth:`faults`.
            only_heads_left: See :meth:`faults`.

        Raises:
            InputError: If there are faults.
        """
        unfit, left = self._unfit(exact), self._left_over(exact, only_heads_left)
        source = 'pretrained ' if pretrained else ''
        if (unfit or left) and strict:
            raise InputError(f'{source}{self._refusal(unfit, left, pretrained)}')
        print_log(f'{source}{self.line()}', logger='current')

    def _refusal(self, unfit: list[str], left: list[str], pretrained: bool) -> str:
        advice = 'use weights of this architecture'
        if pretrained:
            advice += ', or allow it by strict_pretrained=False in init_cfg'
        is_model = any(key.startswith('backbone.') for key in self.unused)
        if is_model and not self.loaded and 'backbone' not in self.receiver:
            advice = "give prefix='backbone.' beside the checkpoint if they are those of a model"
        fit = len(self.loaded)
        counts = [f'{fit} of {fit + len(unfit)} tensors fit']
        counts += [f'{len(unfit)} do not'] if unfit else []
        counts += [f'{len(left)} are left over'] if left else []
        faults = [*unfit, *left]
        return (
            f'{self.source} is of another architecture than this {self.receiver}: '
            f'{", ".join(counts)} ({"; ".join(faults[:2])}{"; ..." if len(faults) > 2 else ""}); '
            f'{advice}'
        )


def is_head(name: str) -> bool:
    """Tell whether a tensor belongs to a head, by its name."""
    return _HEAD.match(name) is not None


def _groups(keys: Sequence[str]) -> str:
    groups = list(dict.fromkeys(re.sub(r'\..*', '.*', key) for key in keys))
    return ', '.join([*groups[:3], *(['...'] if len(groups) > 3 else [])])
