"""Programs of docs/generate: asking for help writes nothing, and a stale page is one line."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ['model_zoo', 'module_table', 'positions', 'speed', 'website', 'which']
# What the quick ones write.
PAGES = {
    'module_table': 'docs/modules.md',
    'positions': 'docs/positions.png',
    'speed': 'docs/speed.md',
    'which': 'docs/which.md',
}


@pytest.fixture
def checkout(tmp_path):
    """A copy of what the programs read and write."""
    for folder in ('benchmarks', 'configs', 'docs', 'mmattn', 'tools'):
        ignore = shutil.ignore_patterns('__pycache__')
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignore)
    return tmp_path


def run(checkout, name, *args):
    env = {**os.environ, 'PYTHONPATH': str(checkout), 'PYTHONDONTWRITEBYTECODE': '1'}
    command = [sys.executable, '-W', 'ignore', checkout / 'docs' / 'generate' / f'{name}.py', *args]
    return subprocess.run(command, cwd=checkout, env=env, capture_output=True, text=True)


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob('*') if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize('name', PROGRAMS)
def test_help_writes_nothing(checkout, name):
    before = contents(checkout)
    done = run(checkout, name, '--help')
    assert done.returncode == 0, done.stderr
    assert '--check' in done.stdout
    assert contents(checkout) == before


@pytest.mark.slow
@pytest.mark.parametrize('name', PAGES)
def test_check_tells_a_stale_page_and_writes_nothing(checkout, name):
    page = checkout / PAGES[name]
    fresh = page.read_bytes()
    stale = fresh.replace(b'| `ECA` |', b'| `ECB` |') if page.suffix == '.md' else None
    page.unlink() if stale is None else page.write_bytes(stale)
    before = contents(checkout)
    done = run(checkout, name, '--check')
    line = f'error: {PAGES[name]} out of date; run python docs/generate/{name}.py\n'
    assert (done.returncode, done.stderr) == (1, line)
    assert contents(checkout) == before
    assert run(checkout, name).returncode == 0
    assert page.read_bytes() == fresh
