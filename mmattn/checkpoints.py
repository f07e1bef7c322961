"""Former name of what :mod:`mmattn.weights` holds; it goes with version 0.2.0."""

import warnings
from types import ModuleType

from torch import Tensor, nn

from mmattn.layers.packages import import_optional
from mmattn.weights.checking import check_weights as check
from mmattn.weights.files import read_checkpoint
from mmattn.weights.fit import fit_weights
from mmattn.weights.layouts import rename_published
from mmattn.weights.reading import weights_in
from mmattn.weights.report import Report
from mmattn.weights.sources import refuse_code_in_checkpoints, trust_checkpoints
from mmattn.weights.state_dicts import find_state_dict
from mmattn.weights.watch import report_loads as accounted

__all__ = [
    'accounted',
    'check',
    'find_state_dict',
    'import_safetensors',
    'load_accounted',
    'read_checkpoint',
    'refuse_code_in_checkpoints',
    'rename_published',
    'trust_checkpoints',
]

warnings.warn('mmattn.checkpoints is mmattn.weights now', FutureWarning, stacklevel=2)


def load_accounted(
    module: nn.Module, state_dict: dict[str, Tensor], *, source: str, **how: bool
) -> Report:
    """Load weights; see :mod:`mmattn.weights.fit`, which has taken its place."""
    fit = fit_weights(weights_in(state_dict, source), module)
    fit.refuse_or_report(**how)
    fit.load()
    return fit.report


def import_safetensors(name: object) -> ModuleType:
    """Import the library for a file that needs it."""
    return import_optional('safetensors', name)
