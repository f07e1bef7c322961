"""Write the table of modules into the README."""

import inspect
import re
import sys
from pathlib import Path

import mmattn
from mmattn import KINDS

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Write the table into the README, or with ``--check`` say that it is out of date."""
    path = ROOT / 'README.md'
    text = path.read_text(encoding='utf-8')
    new = fill(text)
    if '--check' in sys.argv:
        sys.exit(
            0 if new == text else 'README.md is out of date: run python tools/readme_tables.py'
        )
    path.write_text(new, encoding='utf-8')


def fill(text: str) -> str:
    """Replace what stands between the markers."""
    marked = re.compile(r'(<!-- table: modules -->\n).*?(<!-- end -->)', re.DOTALL)
    return marked.sub(lambda match: f'{match[1]}{modules()}{match[2]}', text)


def table(head: list[str], rows: list[list[str]]) -> str:
    """Lay out a Markdown table."""
    lines = [head, ['---'] * len(head), *rows]
    return ''.join(f'| {" | ".join(line)} |\n' for line in lines)


def modules() -> str:
    """List the registered modules and networks."""
    rows = []
    for kind in KINDS:
        for name in mmattn.list_modules(kind):
            cls = getattr(mmattn, name)
            paper = re.search(r'`([^<`]+?)\s*<(http[^>]+)>`_', inspect.getdoc(cls))
            cited = f'[{" ".join(paper[1].split())}]({paper[2]})' if paper else 'none'
            file = Path(inspect.getfile(cls)).relative_to(ROOT).as_posix()
            rows.append([f'`{name}`', kind, cited, f'[{file}]({file})'])
    return table(['`type`', 'kind', 'paper', 'file'], rows)


if __name__ == '__main__':
    main()
