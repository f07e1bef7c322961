"""docs/checkpoints.md and its two tools."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mmattn import VAN
from mmattn.weights.layouts import LAYOUTS
from tests import forked
from tests.helpers import randomize

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / 'docs' / 'checkpoints.md').read_text()
BLOCKS = re.findall(r'```bash\n(.*?)```', TEXT, re.DOTALL)
LINES = [line for block in BLOCKS for line in block.splitlines()]
COMMANDS = [line for line in LINES if re.match(r'python tools/\w+_(weights|checkpoint)\.py', line)]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A checkout beside which lie the weights of the page, as mmpretrain names them."""
    folder = tmp_path_factory.mktemp('weights')
    for name in ('tools', 'configs'):
        (folder / name).symlink_to(ROOT / name)
    torch.save({'state_dict': published(randomize(VAN('b0')))}, folder / 'van_b0.pth')
    torch.save(published(VAN('b1')), folder / 'van_b1.pth')
    return folder


def published(model):
    renamed = {re.sub(r'^block(\d)', r'blocks\1', k): v for k, v in model.state_dict().items()}
    renamed = {f'backbone.{key}': value for key, value in renamed.items()}
    return {**renamed, 'head.fc.weight': torch.rand(2, 3)}


def run(folder, command):
    script, *args = command.split()[1:]
    return forked.run(folder / script, *args, cwd=folder)


def succeed(folder, command):
    done = run(folder, command)
    assert done.returncode == 0, done.stderr
    return done.stdout


def fail(folder, command):
    done = run(folder, command)
    assert done.returncode == 1 and 'Traceback' not in done.stderr, done.stderr
    [line] = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    return done.stdout, line


def test_checks(folder):
    assert succeed(folder, COMMANDS[0]).splitlines() == [
        'backbone: VAN',
        'van_b0.pth (mmpretrain VAN layout): 400/400 host tensors loaded, 1 unused (head.*)',
        '',
        '1 unused:',
        '  head.fc.weight',
    ]


def test_checks_what_is_refused(folder):
    out, line = fail(folder, COMMANDS[0].replace('van_b0.pth', 'van_b1.pth'))
    assert '\n  patch_embed1.proj.weight: (64, 3, 7, 7) there, (32, 3, 7, 7) here\n' in out
    assert 'van_b1.pth is of another architecture than this VAN' in line


def test_converts(folder):
    out = succeed(folder, COMMANDS[1])
    assert out == (
        'van_b0.pth (mmpretrain VAN layout): 401 tensors written to van_b0.safetensors, '
        '364 of them renamed\n'
    )
    written = load_file(folder / 'van_b0.safetensors')
    assert written.keys() == {f'backbone.{k}' for k in VAN('b0').state_dict()} | {'head.fc.weight'}
    _, line = fail(folder, COMMANDS[1])
    assert line.endswith('van_b0.safetensors is there already; remove it or give another name')


def test_converts_for_a_model(folder):
    succeed(folder, COMMANDS[2])
    written = torch.load(folder / 'van_b0_renamed.pth')['state_dict']
    del written['head.fc.weight']
    model = VAN('b0')
    model.load_state_dict(written, strict=True)
    expected = randomize(VAN('b0')).state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in written.items())


def test_the_page_has_no_other_commands_about_files():
    assert len(COMMANDS) == 3


def test_the_page_lists_every_layout():
    rows = re.findall(r'^\| (`.*?) \|', TEXT.split('## Layouts')[1], re.MULTILINE)
    assert {name for row in rows for name in re.findall(r'`(.*?)`', row)} == {
        layout.name for layout in LAYOUTS
    }
