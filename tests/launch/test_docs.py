"""docs/launch.md: what it says can be typed."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / 'docs' / 'launch.md').read_text()
BLOCKS = re.findall(r'```bash\n(.*?)```', TEXT, re.DOTALL)
LINES = [line for block in BLOCKS for line in block.splitlines() if not line.startswith('#')]


@pytest.mark.parametrize('line', LINES)
def test_is_a_command_on_files_that_exist(line):
    subprocess.run(['bash', '-n'], input=line, text=True, check=True)
    for path in re.findall(r'(?:tools|configs)/[\w/]+\.\w+', line):
        assert (ROOT / path).is_file(), path


def test_links_lead_to_headings():
    headings = re.findall(r'^#+ (.*)$', TEXT, re.MULTILINE)
    anchors = {re.sub(r'[^\w -]', '', heading.lower()).replace(' ', '-') for heading in headings}
    assert set(re.findall(r'\]\(#([^)]+)\)', TEXT)) <= anchors
