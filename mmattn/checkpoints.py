"""Former name of what :mod:`mmattn.weights` holds; it goes with version 0.2.0."""

import warnings

from mmattn.weights.checking import check
from mmattn.weights.files import find_state_dict, read_checkpoint
from mmattn.weights.layouts import rename_published
from mmattn.weights.loading import accounted, load_accounted
from mmattn.weights.sources import refuse_code_in_checkpoints, trust_checkpoints

__all__ = [
    'accounted',
    'check',
    'find_state_dict',
    'load_accounted',
    'read_checkpoint',
    'refuse_code_in_checkpoints',
    'rename_published',
    'trust_checkpoints',
]

warnings.warn('mmattn.checkpoints is mmattn.weights now', FutureWarning, stacklevel=2)
