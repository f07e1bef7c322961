"""Every page: its links lead somewhere, and the README has a way to it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / 'README.md'
PAGES = [*sorted(ROOT.glob('*.md')), *sorted((ROOT / 'docs').glob('*.md'))]


def links(page):
    text = re.sub(r'```.*?```', '', page.read_text(encoding='utf-8'), flags=re.DOTALL)
    return [link for link in re.findall(r'\]\(([^)\s]+)\)', text) if '://' not in link]


def anchors(page):
    headings = re.findall(r'^#+ (.*)$', page.read_text(encoding='utf-8'), re.MULTILINE)
    return {re.sub(r'[^\w -]', '', text.lower()).replace(' ', '-') for text in headings}


@pytest.mark.parametrize('page', PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page):
    for link in links(page):
        path, _, anchor = link.partition('#')
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_readme_is_short_and_leads_to_every_page():
    assert len(README.read_text(encoding='utf-8').splitlines()) <= 160
    assert {(ROOT / link.partition('#')[0]).resolve() for link in links(README)} >= {
        page for page in PAGES if page != README
    }
