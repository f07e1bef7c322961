"""Published weights: find, read safely, rename, load with an account."""

from mmattn.checkpoints.account import Account, account, match, note_aside, watch
from mmattn.checkpoints.files import find_state_dict, read_checkpoint, refuse_code_in_checkpoints
from mmattn.checkpoints.layouts import Layout, recognise, register_backbone, rename_published
from mmattn.checkpoints.loading import accounted, load_accounted
from mmattn.checkpoints.sources import register_sources

register_sources()

__all__ = [
    'Account',
    'Layout',
    'account',
    'accounted',
    'find_state_dict',
    'load_accounted',
    'match',
    'note_aside',
    'read_checkpoint',
    'recognise',
    'refuse_code_in_checkpoints',
    'register_backbone',
    'rename_published',
    'watch',
]
