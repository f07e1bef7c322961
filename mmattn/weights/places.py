"""Where files of weights are looked for: the folder that a variable names, PyTorch's cache."""

import os
from pathlib import Path

import torch

from mmattn.errors import InputError


def named_folder() -> Path | None:
    """Give the folder that ``MMATTN_PRETRAINED_DIR`` names; None if it is not set.

    Raises:
        InputError: If the variable names no folder.
    """
    folder = os.environ.get('MMATTN_PRETRAINED_DIR')
    if not folder:
        return None
    if not Path(folder).expanduser().is_dir():
        raise InputError(f'MMATTN_PRETRAINED_DIR={folder} is not a folder; make it or unset it')
    return Path(folder).expanduser()


def find_in_folder(name: str) -> Path | None:
    """Look for a file in the folder that ``MMATTN_PRETRAINED_DIR`` names.

    Raises:
        InputError: If the variable names no folder.
    """
    folder = named_folder()
    path = folder / name if folder else None
    return path if path and path.is_file() else None


def cache() -> Path:
    """Give the folder in which PyTorch, and mmengine with it, keeps what it has downloaded."""
    return Path(torch.hub.get_dir(), 'checkpoints')
