"""docs/modules.md: its table is that of the code, and its guide leaves no module out."""

import re

import mmattn
from docs.generate import module_table

TEXT = module_table.PAGE.read_text(encoding='utf-8')
GUIDE = TEXT[: TEXT.index('## What all of them promise')]


def test_is_up_to_date():
    assert module_table.fill(TEXT, 'modules', module_table.table()) == TEXT, (
        'run python docs/generate/module_table.py'
    )


def test_guide_answers_with_every_module_and_invents_none():
    advised = {name for row in re.findall(r'^\|.*?\|(.*?)\|', GUIDE, re.M) for name in named(row)}
    assert advised <= set(mmattn.list_modules())
    assert {*mmattn.list_modules('attention'), *mmattn.list_modules('fusion')} <= advised


def test_guide_counts_right_what_it_calls_cheap():
    [row] = [line for line in GUIDE.splitlines() if line.startswith('| few multiply-adds')]
    for name in named(row):
        assert float(module_table.cost(name)[1].removesuffix(' M')) <= 0.3


def named(text):
    return re.findall(r'`(\w+)`', text)
