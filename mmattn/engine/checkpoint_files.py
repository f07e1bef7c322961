"""Former name of :mod:`mmattn.engine.resume.checkpoint_files`; it goes with version 0.2.0."""

import warnings

from mmattn.engine.resume.checkpoint_files import find_damage, find_last, note_last
from mmattn.files.whole_file import write_whole

__all__ = ['find_damage', 'find_last', 'note_last', 'write_whole']

warnings.warn(
    'mmattn.engine.checkpoint_files is mmattn.engine.resume.checkpoint_files now',
    FutureWarning,
    stacklevel=2,
)
