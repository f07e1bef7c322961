"""Commands are those of this environment."""

import shlex
import sys
from pathlib import Path

from mmattn.doctor.repair import pip


def test_pip_of_this_environment(tmp_path, monkeypatch):
    other, ours = tmp_path / 'other', tmp_path / 'of ours'
    for folder in (other, ours):
        folder.mkdir()
        (folder / 'pip').write_text('#!/bin/sh')
        (folder / 'pip').chmod(0o755)
    monkeypatch.setattr(sys, 'executable', str(ours / 'python'))
    monkeypatch.setenv('PATH', str(ours))
    assert pip('install', "'numpy<2'") == "pip install 'numpy<2'"
    monkeypatch.setenv('PATH', str(other))
    command = pip('install', "'numpy<2'")
    assert shlex.split(command) == [str(ours / 'python'), '-m', 'pip', 'install', 'numpy<2']
    assert Path(shlex.split(command)[0]).parent == ours
