"""How much of what an attention module computes is about the types of its numbers."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ATTENTION = Path(__file__).parents[2] / 'mmattn/attention'
# What is computed is said by the words of mmattn.ops.precision instead.
MENTIONS = re.compile(
    r'dtype|\b(b?float(16|32|64)|half|double|promote_types|finfo|saturate|narrowed)\b'
    r'|autocast|\.(to|type|float)\('
)
MOST = 0.15


def functions_of(tree: ast.Module) -> dict[str, ast.FunctionDef]:
    """Give the functions and methods of a file by name and line."""
    found = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    return {f'{node.name}:{node.lineno}': node for node in found}


def names_in(node: ast.AST) -> set[str]:
    """Give the names and attributes that occur in a piece of code."""
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} | {
        n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)
    }


def forward_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Give the lines of code of ``attend``, ``forward`` and what they call in their file."""
    source = path.read_text()
    functions = functions_of(ast.parse(source))
    reached, called = set(), {'attend', 'forward'}
    while new := {key for key in functions if key.split(':')[0] in called} - reached:
        reached |= new
        called |= set().union(*(names_in(functions[key]) for key in new))
    lines = source.splitlines()
    numbers = set()
    for key in reached:
        body = functions[key].body
        if ast.get_docstring(functions[key]) is not None:
            body = body[1:]
        for statement in body:
            numbers |= set(range(statement.lineno, statement.end_lineno + 1))
    for number in sorted(numbers):
        code = lines[number - 1].split('  #')[0].strip()
        if code and not code.startswith('#'):
            yield number, code


def test_forward_lines_are_about_the_paper():
    lines = {
        f'{path.name}:{number}': code
        for path in ATTENTION.glob('*.py')
        for number, code in forward_lines(path)
    }
    assert len(lines) > 200
    mentions = [f'{place}: {code}' for place, code in lines.items() if MENTIONS.search(code)]
    share = len(mentions) / len(lines)
    assert share <= MOST, f'{share:.0%} mention a type:\n' + '\n'.join(mentions)
