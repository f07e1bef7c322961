"""docs/tutorial.ipynb runs from its first cell to its last, and shows what its text says."""

import os
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

nbformat = pytest.importorskip('nbformat', reason='nbclient is not installed')
nbclient = pytest.importorskip('nbclient', reason='it is not installed')
pytest.importorskip('ipykernel', reason='it is not installed')
pytest.importorskip('pytorch_grad_cam', reason='grad-cam is not installed')


def read():
    return nbformat.read(ROOT / 'docs' / 'tutorial.ipynb', as_version=4)


def test_is_committed_without_outputs():
    for cell in read().cells:
        assert not cell.get('outputs') and cell.get('execution_count') is None


@pytest.mark.slow
def test_runs_from_top_to_bottom(tmp_path, monkeypatch):
    # `!mmattn` is this checkout, whatever else is installed.
    (tmp_path / 'mmattn').write_text(f'#!/bin/sh\nexec {sys.executable} -m mmattn "$@"\n')
    (tmp_path / 'mmattn').chmod(0o755)
    monkeypatch.setenv('PATH', f'{tmp_path}{os.pathsep}{os.environ["PATH"]}')
    monkeypatch.setenv('PYTHONPATH', str(ROOT))
    monkeypatch.setenv('JUPYTER_DATA_DIR', str(tmp_path / 'jupyter'))
    folder = tmp_path / 'run'
    folder.mkdir()
    notebook = read()
    nbclient.NotebookClient(
        notebook, timeout=500, kernel_name='python3', resources={'metadata': {'path': str(folder)}}
    ).execute()

    pictures, printed = 0, ''
    for cell in notebook.cells:
        for output in cell.get('outputs', []):
            printed += output.get('text', '')
            pictures += 'image/png' in output.get('data', {})
    # The photo, the prediction, a page of gates, the blend factors, the maps of two models.
    assert pictures == 5
    assert '43 new tensors, all of the attention; the same output: True' in printed
    assert '3 CoordAtt, 1 CBAM' in printed
    assert sorted(path.name for path in (folder / 'tutorial').iterdir()) == sorted(
        ['attention', 'attention.py', 'data', 'plain', 'plain.py']
    )
    shutil.rmtree(folder)
