"""Write the table of docs/modules.md: all modules, and what their parts cost."""

import argparse
import inspect
import re
import sys
from pathlib import Path

from mmengine.registry import MODELS

import mmattn
from mmattn.probe.build import meta_device
from mmattn.probe.count import count_multiply_adds, count_parameters

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs' / 'modules.md'
COUNTED = ('attention', 'fusion', 'upsampling')
SHAPE = (1, 256, 32, 32)  # As the page says.


def main() -> None:
    """Write the table into the page, or with ``--check`` say that it is out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--check', action='store_true', help='compare, write nothing')
    args = parser.parse_args()
    text = PAGE.read_text(encoding='utf-8')
    new = fill(text, 'modules', table())
    if not args.check:
        PAGE.write_text(new, encoding='utf-8')
    elif new != text:
        sys.exit('error: docs/modules.md out of date; run python docs/generate/module_table.py')


def fill(text: str, name: str, table: str) -> str:
    """Put a table between the markers of its name."""
    marked = re.compile(rf'(<!-- table: {name} -->\n).*?(<!-- end -->)', re.DOTALL)
    return marked.sub(lambda match: f'{match[1]}{table}{match[2]}', text)


def table() -> str:
    """List the registered modules and networks."""
    head = ['`type`', 'kind', 'parameters', 'multiply-adds', 'paper', 'file']
    rules = ['---', '---', '--:', '--:', '---', '---']
    rows = [row(name, kind) for kind in mmattn.KINDS for name in mmattn.list_modules(kind)]
    return ''.join(f'| {" | ".join(line)} |\n' for line in [head, rules, *rows])


def row(name: str, kind: str) -> list[str]:
    """Describe one module."""
    cls = getattr(mmattn, name)
    costs = cost(name) if kind in COUNTED else ['', '']
    paper = re.search(r'`([^<`]+?)\s*<(http[^>]+)>`_', inspect.getdoc(cls) or '')
    cited = f'[{" ".join(paper[1].split())}]({paper[2]})' if paper else 'none'
    file = Path(inspect.getfile(inspect.unwrap(cls))).relative_to(ROOT).as_posix()
    return [f'`{name}`', kind, *costs, cited, f'[{file}](../{file})']


def cost(name: str) -> list[str]:
    """Count a module with its default options, without memory for its weights.

    Args:
        name: Its ``type``.

    Returns:
        Its parameters, and the multiply-adds of its convolutions and matrix products.
    """
    with meta_device():
        module = MODELS.build(dict(type=name, in_channels=SHAPE[1]))
    n, _, *size = SHAPE
    shapes = (
        [(n, *each) for each in module.map_shapes(*size)]
        if hasattr(module, 'map_shapes')
        else [SHAPE]
    )
    multiply_adds = count_multiply_adds(module, *shapes)
    assert multiply_adds is not None  # Only a Mask2Former has none.
    return [f'{count_parameters(module):,}', f'{multiply_adds / 1e6:.2f} M']


if __name__ == '__main__':
    main()
