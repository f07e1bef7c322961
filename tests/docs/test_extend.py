"""docs/extend.md: the package on the page is one, and works as it stands there."""

import re
from pathlib import Path

import pytest

from mmattn.testing.attention import PROMISES
from tests import forked

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / 'docs' / 'extend.md').read_text(encoding='utf-8')
FILES = dict(re.findall(r'```python\n# (\S+)\n(.*?)```', TEXT, re.DOTALL))

USE = """
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
cfg = Config.fromfile('config.py')
model = MODELS.build(cfg.model)
import mmattn, row_gate, test_row_gate
inserted = [name for name, m in model.named_modules() if type(m) is row_gate.RowGate]
print(len(inserted), inserted[0])
print('RowGate' in mmattn.list_modules('attention'))
model.train()(torch.rand(2, 3, 32, 32))[0].sum().backward()
test_row_gate.test_row_gate_keeps_the_promises()
print('kept')
"""


@pytest.fixture
def package(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_is_a_package_of_three_short_files():
    assert set(FILES) == {'row_gate.py', 'config.py', 'test_row_gate.py'}
    assert sum(bool(line.strip()) for text in FILES.values() for line in text.splitlines()) <= 30


def test_quotes_a_promise():
    [quoted] = re.findall(r'breaks a promise, "(.*)":', TEXT)
    assert f'{quoted}.' in {promise.__doc__ for promise in PROMISES}


def test_stands_at_its_sites_and_keeps_the_promises(package):
    (package / 'use.py').write_text(USE)
    done = forked.run(package / 'use.py', cwd=package)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    # One for each of the blocks.
    assert '8 layer1.0.conv2.inserted_attention.row_gate' in lines
    assert lines[-1] == 'kept' and 'True' in lines


def test_its_commands(package):
    (package / 'command.py').write_text('from mmattn.cli.main import main\n\nmain()\n')
    commands = re.findall(r'^mmattn (.*)$', TEXT, re.MULTILINE)
    assert [command.split()[0] for command in commands] == ['sites', 'list']
    for command, word in zip(commands, ('layer1.0.conv2', 'RowGate'), strict=True):
        done = forked.run(package / 'command.py', *command.split(), cwd=package)
        assert done.returncode == 0, done.stderr
        assert word in done.stdout


def test_shows_what_a_module_shows(capsys):
    [code] = re.findall(
        r'```python\n(import torch\nfrom mmattn import CBAM\n.*?)```', TEXT, re.DOTALL
    )
    *lines, printed = code.strip().splitlines()
    exec('\n'.join(lines), {})
    assert capsys.readouterr().out.strip() == printed.removeprefix('# ')
