"""What a sweep is to run: rows, axes and seeds around one base config."""

import ast
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmattn.errors import InputError

BASELINE = 'none'
# What the name of a row begins with that a search has proposed.
TRIAL = 'trial '

# What a plan file may have, and a row of it.
_KEYS = (
    *('base', 'metric', 'rows', 'modules', 'positions', 'starts', 'lengths', 'axes', 'seeds'),
    *('options', 'baseline', 'shape', 'space', 'trials'),
)
_ROW_KEYS = ('attention', 'after', 'before', 'instead_of', 'sites', 'start', 'options')
# Of file systems it is 255 bytes, of which an ending needs some.
_LONGEST = 200
_PLACES = ('after', 'before', 'instead_of')


@dataclass(frozen=True)
class Row:
    """One way to change the base config."""

    sites: tuple[dict, ...] = ()
    """As :func:`mmattn.insertion.insert_attention.InsertAttention` takes them; none: no attention
    is inserted."""

    start: str = 'identity'
    options: dict[str, Any] = field(default_factory=dict)
    """What else changes in the base config; keys may be dotted."""


@dataclass(frozen=True)
class Run:
    """One training."""

    row: str
    axes: dict[str, str]
    """The value of each axis, by its name."""

    seed: int
    sites: tuple[dict, ...]
    start: str
    options: tuple[dict[str, Any], ...]
    """Changes of the base config, the later ones on top of the earlier ones."""

    length: int | None = None
    """Iterations or epochs, as the base config counts; None for its own."""

    @property
    def variant(self) -> str:
        """What all its seeds share: the row, and where it stands on the axes."""
        return ', '.join([self.row, *(f'{k}={v}' for k, v in self.axes.items())])

    @property
    def name(self) -> str:
        """Its name as a file."""
        return f'{slug(self.variant)}-seed{self.seed}'

    def recipe(self) -> str:
        """Give all that makes this run what it is, as JSON."""
        parts = dict(sites=self.sites, start=self.start, options=self.options, length=self.length)
        return json.dumps(parts, sort_keys=True, default=str)


@dataclass(frozen=True)
class Plan:
    """A whole sweep."""

    base: str
    rows: dict[str, Row]
    seeds: tuple[int, ...] = (0,)
    axes: dict[str, dict[str, dict]] = field(default_factory=dict)
    """For each axis the options of each of its values."""

    lengths: tuple[int, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    """What changes in all runs."""

    baseline: str = BASELINE
    metric: str | None = None
    shape: tuple[int, int] | None = None
    """Height and width of the image, in pixels, that costs are counted for; None for the usual."""

    space: dict[str, dict] = field(default_factory=dict)
    """What a search draws, by the dotted key of the config option that it sets; ``attention``,
    ``after`` and ``start`` are those of a row."""

    trials: int = 0
    text: str = ''
    """What it was made of, as a Python literal: :func:`make_plan` makes it again."""

    def runs(self) -> Iterator[Run]:
        """List the runs by length and seed, so that what is done early compares all rows."""
        lengths = self.lengths or (None,)
        for length, seed in itertools.product(lengths, self.seeds):
            for values in itertools.product(*(axis.items() for axis in self.axes.values())):
                at = dict(zip(self.axes, values, strict=True))
                for name, row in self.rows.items():
                    yield self.run(name, row, seed, length, at)

    def run(
        self,
        name: str,
        row: Row,
        seed: int,
        length: int | None = None,
        values: dict[str, tuple[str, dict]] | None = None,
    ) -> Run:
        """Give one run of a row.

        Args:
            name: Name of the row.
            row: The row.
            seed: Seed of the training.
            length: Iterations or epochs; None for those of the base config.
            values: For each axis the name and the options of a value.
        """
        values = values or {}
        named = {} if len(self.lengths) < 2 else {'length': str(length)}
        axes = {**named, **{axis: label for axis, (label, _) in values.items()}}
        changes = [self.options, *(options for _, options in values.values()), row.options]
        return Run(name, axes, seed, row.sites, row.start, tuple(c for c in changes if c), length)


def slug(text: str) -> str:
    """Make a text a part of a file name."""
    return re.sub(r'[^A-Za-z0-9_.=]+', '-', text).strip('-')


def read_plan(path: str) -> Plan:
    """Read a plan file.

    Args:
        path: A Python, YAML or JSON file, which mmengine reads as it reads a config.

    Raises:
        InputError: If it is missing, cannot be read, or is no plan.
    """
    if not Path(path).is_file():
        raise InputError(f'plan {path} is not a file; check the path')
    try:
        content = Config.fromfile(path).to_dict()
    except Exception as error:  # whatever a Python file does
        line = (str(error).strip().splitlines() or ['no message'])[0]
        raise InputError(f'plan {path} cannot be read: {type(error).__name__}: {line}') from error
    if 'model' in content:
        raise InputError(
            f'{path} is a config, not a plan; say what to compare: --modules SE,CoordAtt --after '
            'PATTERN'
        )
    base = content.get('base')
    if isinstance(base, str) and '::' not in base and not Path(base).is_absolute():
        # As _base_ of a config: from the folder of the file that names it.
        content['base'] = str(Path(path).resolve().parent / base)
    return make_plan(content, f'plan {path}')


def make_plan(content: dict[str, Any], source: str = 'the plan') -> Plan:
    """Make a plan of what a plan file holds.

    Args:
        content: Its keys and values.
        source: What the message of an error begins with.

    Raises:
        InputError: If something is missing, unknown or of another kind.
    """
    _refuse_unknown(content, _KEYS, source)
    if not isinstance(content.get('base'), str):
        raise InputError(f"{source} has no base; name the base config: base = 'CONFIG.py'")
    given = content.get('rows') or {}
    if not isinstance(given, dict):
        raise InputError(f'{source}: rows is expected as a dict of names, got {given!r}')
    rows = {str(name): _read_row(row, f'{source}, row {name}') for name, row in given.items()}
    grid = _grid(content, source)
    twice = rows.keys() & grid.keys()
    if twice:
        raise InputError(f'{source}: {sorted(twice)[0]} is both a row and one of the grid')
    rows |= grid
    proposed = [name for name in rows if name.startswith(TRIAL)]
    if proposed:
        raise InputError(f'{source}: {proposed[0]!r} is a name of a search; take another one')
    baseline = content.get('baseline', BASELINE)
    if baseline == BASELINE and baseline not in rows:
        rows = {BASELINE: Row(), **rows}
    if baseline not in rows:
        raise InputError(
            f'{source}: baseline {baseline!r} is no row; there are {", ".join(rows) or "none"}'
        )
    space, trials = _read_space(content, source)
    plan = Plan(
        base=content['base'],
        rows=rows,
        seeds=_whole_numbers(content.get('seeds', [0]), 'seeds', 0, source),
        axes=_read_axes(content.get('axes') or {}, source),
        lengths=_whole_numbers(content.get('lengths', []), 'lengths', 1, source),
        options=content.get('options') or {},
        baseline=baseline,
        metric=content.get('metric'),
        shape=_read_shape(content.get('shape'), source),
        space=space,
        trials=trials,
        text=_literal(content, source),
    )
    if not plan.seeds:
        raise InputError(f'{source} has no seeds; give some: seeds = [0, 1, 2]')
    if space and (plan.axes or len(plan.lengths) > 1):
        raise InputError(f'{source}: a search has no axes, and one length at most')
    _refuse_shared_names(plan, source)
    return plan


def _literal(content: dict[str, Any], source: str) -> str:
    text = repr(content)
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError) as error:
        raise InputError(
            f'{source} is expected to hold numbers, texts, lists and dicts alone ({error})'
        ) from error
    return text


def _grid(content: dict[str, Any], source: str) -> dict[str, Row]:
    """Make the rows of modules x positions x starts."""
    modules, positions = content.get('modules') or [], content.get('positions') or []
    if bool(modules) != bool(positions):
        has, lacks = ('modules', 'positions') if modules else ('positions', 'modules')
        raise InputError(f'{source} has {has}, but no {lacks}; a grid needs both')
    if isinstance(positions, str | list | tuple):
        positions = {'': positions}
    starts = content.get('starts') or ['identity']
    wanted = [(m, m['type']) if isinstance(m, dict) else (dict(type=m), m) for m in modules]
    rows = {}
    for (attention, label), where, start in itertools.product(wanted, positions, starts):
        name = label
        if len(positions) > 1:
            name += f' {where}'
        if len(starts) > 1:
            name += f' {start}'
        row = dict(attention=attention, after=positions[where], start=start)
        if name in rows:
            raise InputError(
                f'{source}: {name} is there twice; make it a row with a name of its own'
            )
        rows[name] = _read_row(row, f'{source}, row {name}')
    return rows


def _read_row(row: Any, source: str) -> Row:
    if not isinstance(row, dict):
        raise InputError(f'{source} is expected as a dict, got {row!r}')
    _refuse_unknown(row, _ROW_KEYS, source)
    start, options = row.get('start', 'identity'), row.get('options') or {}
    if start not in ('identity', 'paper'):
        raise InputError(f"{source}: start is 'identity' or 'paper', got {start!r}")
    if not isinstance(options, dict):
        raise InputError(f'{source}: options are expected as a dict, got {options!r}')
    sites, attention = list(row.get('sites') or []), row.get('attention')
    for place in _PLACES:
        patterns = row.get(place) or []
        for pattern in [patterns] if isinstance(patterns, str) else patterns:
            sites.append({place: pattern, 'attention': attention})
    if attention is None and len(sites) > len(row.get('sites') or []):
        raise InputError(f'{source} says where, but not what: attention=dict(type=...)')
    if attention is not None and not sites:
        raise InputError(f'{source} has an attention, but no place: after=PATTERN')
    return Row(tuple(sites), start, options)


def _read_axes(axes: Any, source: str) -> dict[str, dict[str, dict]]:
    for name, values in axes.items() if isinstance(axes, dict) else [('', None)]:
        if not isinstance(values, dict) or not all(isinstance(v, dict) for v in values.values()):
            raise InputError(
                f'{source}: axes are expected as dict(NAME={{LABEL: dict(OPTION=...)}}), '
                f'got {name or axes!r}'
            )
    return {str(n): {str(label): v for label, v in values.items()} for n, values in axes.items()}


def _read_space(content: dict[str, Any], source: str) -> tuple[dict[str, dict], int]:
    space, trials = content.get('space') or {}, content.get('trials', 0)
    if not space and not trials:
        return {}, 0
    if not isinstance(space, dict) or type(trials) is not int or not space or trials < 1:
        raise InputError(f'{source}: a search needs space=dict(...) and trials, at least 1')
    if ('attention' in space) != ('after' in space):
        raise InputError(f'{source}: space needs both attention and after, or neither')
    for key, drawn in space.items():
        keys = drawn.keys() if isinstance(drawn, dict) else set()
        if not (keys == {'choices'} or {'low', 'high'} <= keys <= {'low', 'high', 'log', 'step'}):
            raise InputError(
                f'{source}: space[{key!r}] is expected as dict(choices=[...]), or as '
                f'dict(low=..., high=...) with log=True or step=... beside them, got {drawn!r}'
            )
    return space, trials


def _read_shape(given: Any, source: str) -> tuple[int, int] | None:
    if given is None:
        return None
    sides = list(given) if isinstance(given, list | tuple) else [given]
    if len(sides) != 2 or not all(type(side) is int and side > 0 for side in sides):
        raise InputError(f'{source}: shape is height and width in pixels, got {given!r}')
    return sides[0], sides[1]


def _whole_numbers(given: Any, name: str, least: int, source: str) -> tuple[int, ...]:
    numbers = list(given) if isinstance(given, list | tuple) else [given]
    for number in numbers:
        if type(number) is not int or number < least:
            raise InputError(
                f'{source}: {name} are whole numbers of at least {least}, got {number!r}'
            )
    if len(set(numbers)) < len(numbers):
        raise InputError(f'{source}: {name} has a number twice: {given!r}')
    return tuple(numbers)


def _refuse_unknown(given: dict, known: tuple[str, ...], source: str) -> None:
    for key in given:
        if key not in known:
            raise InputError(f'{source} has the key {key}; known are {", ".join(known)}')


def _refuse_shared_names(plan: Plan, source: str) -> None:
    owners: dict[str, str] = {}
    for run in plan.runs():
        if len(run.name) > _LONGEST:
            raise InputError(f'{source}: {run.name} is too long for a file; give it a shorter name')
        if owners.setdefault(run.name, run.variant) != run.variant:
            raise InputError(
                f'{source}: {run.variant!r} and {owners[run.name]!r} would share the files '
                f'{run.name}; rename one'
            )
