"""Published weights: find, read safely, rename, load with an account."""

from mmattn.checkpoints.account import Account, account, match, note_aside, watch
from mmattn.checkpoints.checking import check, find_receiver
from mmattn.checkpoints.files import (
    find_state_dict,
    import_safetensors,
    read_checkpoint,
)
from mmattn.checkpoints.layouts import Layout, recognise, register_backbone, rename_published
from mmattn.checkpoints.loading import accounted, load_accounted
from mmattn.checkpoints.sources import (
    refuse_code_in_checkpoints,
    register_sources,
    trust_checkpoints,
)

register_sources()

__all__ = [
    'Account',
    'Layout',
    'account',
    'accounted',
    'check',
    'find_receiver',
    'find_state_dict',
    'import_safetensors',
    'load_accounted',
    'match',
    'note_aside',
    'read_checkpoint',
    'recognise',
    'refuse_code_in_checkpoints',
    'register_backbone',
    'rename_published',
    'trust_checkpoints',
    'watch',
]
