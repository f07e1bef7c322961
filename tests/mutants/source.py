"""Mutants of a file: what it would be with one small mistake in it."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators


@dataclass(frozen=True)
class Mutant:
    """A file with one mistake.

    Args:
        path: The file, relative to the checkout.
        number: Which of its mutants.
        line: Where the mistake is.
        source: The file's text with it.
        diff: The lines that differ, without and with it.
    """

    path: str
    number: int
    line: int
    source: str
    diff: str

    @property
    def name(self) -> str:
        """Name under which it can be asked for again, as long as the file stays as it is."""
        return f'{self.path}:{self.number}'


def count(path: Path) -> int:
    """Count the mutants of a file, among which a few turn out to be none."""
    return len(_Finder.search(path).found)


def mutants(root: Path, path: str, numbers: list[int]) -> Iterator[Mutant]:
    """Make some of the mutants of a file.

    Args:
        root: The checkout.
        path: The file in it.
        numbers: Which, each below :func:`count`.

    Yields:
        Those of them that are valid Python and not the same program.
    """
    finder = _Finder.search(root / path)
    before = finder.module.code
    for number in numbers:
        line, node, mutated = finder.found[number]
        after = finder.module.deep_replace(node, mutated).code
        try:
            if ast.dump(ast.parse(after)) == ast.dump(ast.parse(before)):
                continue
        except SyntaxError:
            continue
        changes = unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm='')
        diff = '\n'.join(list(changes)[3:])
        yield Mutant(path, number, line, after, diff)


class _Finder(cst.CSTVisitor):
    """Collects the places of a file and what could stand there instead."""

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self, module: cst.Module) -> None:
        super().__init__()
        self.module = module
        self.found: list[tuple[int, cst.CSTNode, cst.CSTNode]] = []

    @classmethod
    def search(cls, path: Path) -> '_Finder':
        wrapper = MetadataWrapper(cst.parse_module(path.read_text()))
        finder = cls(wrapper.module)
        wrapper.visit(finder)
        return finder

    def on_visit(self, node: cst.CSTNode) -> bool:
        if _stays(node):
            return False
        for kind, operator in OPERATORS:
            if isinstance(node, kind):
                line = self.get_metadata(PositionProvider, node).start.line
                self.found += [(line, node, mutated) for mutated in operator(node)]
        return True


def _stays(node: cst.CSTNode) -> bool:
    """Tell what is not run, and text for people, of which tests compare the part that matters."""
    if isinstance(node, cst.SimpleString):
        return ' ' in node.value
    if isinstance(node, cst.Assign):
        return any(
            isinstance(t.target, cst.Name) and t.target.value == '__all__' for t in node.targets
        )
    if isinstance(node, cst.Subscript):
        return isinstance(node.value, cst.Name) and node.value.value == 'Literal'
    return isinstance(node, cst.Annotation | cst.Decorator | cst.Import | cst.ImportFrom)


def _leave_out_call(node: cst.Call) -> Iterator[cst.BaseExpression]:
    """Turn ``f(x)`` and ``x.f()`` into ``x``: mutmut itself never takes a whole call away."""
    if isinstance(node.func, cst.Attribute):
        owner = node.func.value
        if not isinstance(owner, cst.Name) or owner.value not in _NAMESPACES:
            yield owner
    if node.args and not node.args[0].keyword and not node.args[0].star:
        parentheses = dict(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
        yield node.args[0].value.with_changes(**parentheses)


_NAMESPACES = {'self', 'cls', 'torch', 'nn', 'F', 'dist', 'os', 're', 'math'}
OPERATORS = [*mutation_operators, (cst.Call, _leave_out_call)]
