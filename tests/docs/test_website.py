"""The site: every page is on it, and every name that mmattn exports is in its reference."""

import re
from pathlib import Path

import pytest
import yaml

import mmattn
from docs.generate import website

ROOT = Path(__file__).resolve().parents[2]
FILES = [*ROOT.glob('*.md'), *ROOT.glob('docs/*.md')]
PAGES = {path.relative_to(ROOT).as_posix() for path in FILES}


@pytest.fixture
def laid_out(monkeypatch, tmp_path):
    monkeypatch.setattr(website, 'PAGES', tmp_path / 'pages')
    website.lay_out()
    return tmp_path / 'pages'


def test_every_page_is_in_the_navigation(laid_out):
    [_, *sections] = yaml.safe_load((ROOT / 'mkdocs.yml').read_text())['nav']
    listed = ['README.md']
    listed += [page for [pages] in map(dict.values, sections) for [page] in map(dict.values, pages)]
    references = {path.relative_to(laid_out).as_posix() for path in laid_out.glob('reference/*')}
    assert sorted(listed) == sorted(PAGES | references)
    assert all((laid_out / page).is_file() for page in listed)


def test_every_exported_name_is_in_the_reference(laid_out):
    text = '\n'.join(path.read_text() for path in laid_out.glob('reference/*'))
    described = set(re.findall(r'^::: mmattn\.(?:\w+\.)*(\w+)$', text, re.MULTILINE))
    assert set(mmattn.__all__) - {'KINDS'} <= described


def test_docstrings_become_markdown():
    pytest.importorskip('griffe', reason='comes with make docs')
    from docs.generate.markdown_docstrings import as_markdown

    text = 'See `a\npage <https://x.org>`_, :class:`mmattn.VAN`.\n\nExample:\n    >>> 1\n    1'
    expected = 'See [a\npage](https://x.org), `mmattn.VAN`.\n\nExamples:\n    >>> 1\n    1'
    assert as_markdown(text) == expected
    rows = '=== ===\na   b\n=== ===\n1   2\n=== ==='
    assert as_markdown(f'Has:\n\n{rows}\n\nEnd.') == f'Has:\n\n```text\n{rows}\n```\n\nEnd.'
