"""Who may import whom: the rooms of mmattn, and the one way in which their arrows run."""

import ast
import itertools
import sys
from collections import defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / 'mmattn'

# A -> B: B may import A and all that A may. Everybody may import errors and compat.
ARROWS = """
    ops -> layers -> attention -> fusion -> backbones
    layers -> upsampling -> fusion, necks, insertion
    layers -> weights, necks, heads, engine
    weights -> backbones, necks, datasets, insertion, engine
    attention, probe -> insertion
    backbones, insertion -> testing
    files -> datasets, weights, engine
    weights, datasets, launch, probe -> engine
    engine, insertion -> prediction -> inspection -> app, __init__ -> cli
    fusion -> inspection
    layers, probe, prediction -> deploy -> cli
    probe, engine -> sweep -> cli
    backbones, engine, insertion, deploy -> benchmark -> cli
    engine, insertion, __init__, doctor -> cli -> __main__, entrance
    weights -> checkpoints
"""

# They import nothing of mmattn.
FOUNDATION = ('errors', 'compat')

# What still breaks them. This list only gets shorter.
BREACHES: set[tuple[str, str]] = set()


def rooms_below() -> dict[str, set[str]]:
    """Give the rooms that each room may import."""
    direct = defaultdict(set)
    for line in ARROWS.split('\n'):
        groups = [group.split(', ') for group in line.strip().split(' -> ')]
        for lower, upper in itertools.pairwise(groups):
            for room in upper:
                direct[room] |= set(lower)
    below = {}
    for room in TopologicalSorter(direct).static_order():
        below[room] = direct[room].union(*(below[lower] for lower in direct[room]))
    return below


def modules() -> dict[str, Path]:
    """Give the file of each module, by its name within the package."""
    return {'.'.join(p.relative_to(PACKAGE).with_suffix('').parts): p for p in FILES}


FILES = sorted(PACKAGE.rglob('*.py'))


def imports_of(path: Path) -> Iterator[str]:
    """Give the modules of mmattn that a file imports, at its top or later, by their names there."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f'{path}: imports are absolute'
            names = [f'{node.module}.{alias.name}' for alias in node.names]
        else:
            continue
        for name in names:
            if name.split('.')[0] == 'mmattn':
                yield as_module(name)


def as_module(name: str) -> str:
    """Leave the name of a class or function out."""
    parts = name.split('.')[1:]
    for length in range(len(parts), 0, -1):
        found = '.'.join(parts[:length])
        if found in MODULES:
            return found
        if f'{found}.__init__' in MODULES:
            return f'{found}.__init__'
    return '__init__'


MODULES = modules()


@pytest.mark.parametrize('name', [name for name in MODULES if name != '__init__'])
def test_arrows_run_one_way(name):
    room = name.split('.')[0]
    allowed = {room, *FOUNDATION, *rooms_below().get(room, ())}
    reached = {other.split('.')[0] for other in imports_of(MODULES[name])}
    breaches = {(name, other) for other in reached - allowed}
    assert breaches == {breach for breach in BREACHES if breach[0] == name}


@pytest.mark.parametrize('name', FOUNDATION)
def test_what_everybody_may_import_imports_nobody(name):
    assert list(imports_of(MODULES[name])) == []


def test_what_runs_where_nothing_can_be_imported_needs_python_alone():
    left, seen = {'entrance'}, set()
    while left:
        name = left.pop()
        seen.add(name)
        left |= set(imports_of(MODULES[name])) - seen
        for node in ast.walk(ast.parse(MODULES[name].read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            packages = {each.partition('.')[0] for each in names}
            assert packages <= {'mmattn', *sys.stdlib_module_names}, name
    assert seen >= {'cli.doctor', 'doctor.report', 'doctor.environment'}


def test_files_import_each_other_in_no_circle():
    graph = {name: set(imports_of(path)) - {name} for name, path in MODULES.items()}
    # The face of a room is run before its files, but imports nothing that needs it.
    assert len(list(TopologicalSorter(graph).static_order())) == len(MODULES)


def test_a_room_without_a_list_of_names_has_an_empty_face():
    for name, path in MODULES.items():
        if name.endswith('__init__') and not any(
            isinstance(node, ast.Assign) for node in ast.parse(path.read_text()).body
        ):
            assert list(imports_of(path)) == [], name
