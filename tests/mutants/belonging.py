"""Which files are mutated, and which tests belong to each; the list is belonging.yaml."""

import ast
import re
from fnmatch import fnmatch
from pathlib import Path

import yaml

_LISTED = yaml.safe_load(Path(__file__).with_suffix('.yaml').read_text())


def targets(root: Path) -> list[str]:
    """List the files that are mutated, relative to the checkout."""
    found = {path for pattern in _LISTED['targets'] for path in root.glob(pattern)}
    return sorted(str(path.relative_to(root)) for path in found if path.name != '__init__.py')


def tests_of(root: Path, path: str) -> dict[str, list[str]]:
    """List the tests that belong to a file, those that are about it alone first.

    Args:
        root: The checkout.
        path: The file in it.

    Returns:
        Paths of test files, each with the names of the cases that count; without any, all do.

    Raises:
        FileNotFoundError: If a test file is listed that is not there.
    """
    _, *rooms, name = Path(path).parts
    own = '/'.join(['tests', *rooms, f'test_{name}'])
    tests = {path: [], **({own: []} if (root / own).exists() else {})}
    for pattern, entries in _LISTED['tests'].items():
        for entry in entries if fnmatch(path, pattern) else ():
            file, names = re.fullmatch(r'(.*?)(?:\[(.*)\])?', entry).groups()
            if not (root / file).exists():
                raise FileNotFoundError(f'{file}, which belongs to {pattern}, does not exist')
            names = [n for part in (names or '').split(', ') for n in _named(root / path, part)]
            # Without names all of the file counts, whatever a more general pattern says.
            tests[file] = [*tests.get(file, []), *names] if names else []
    return tests


def _named(path: Path, name: str) -> list[str]:
    if name != '{classes}':
        return [name] if name else []
    classes = [
        node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)
    ]
    # A file without classes of its own names none: no case is about it alone.
    return classes or ['(none)']
