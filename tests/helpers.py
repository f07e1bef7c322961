"""What several tests share."""

import pytest
import torch

from mmattn.compat import TORCH
from mmattn.testing.promises import randomize

__all__ = ['needs_torch', 'randomize']


def needs_torch(version: str, what: str) -> pytest.MarkDecorator:
    """Skip a test where PyTorch is older than what it asks for."""
    return pytest.mark.skipif(
        tuple(map(int, version.split('.'))) > TORCH,
        reason=f'{what} needs PyTorch {version}, this is {torch.__version__}',
    )
