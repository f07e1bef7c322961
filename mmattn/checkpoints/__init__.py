"""Published weights: read safely, load with an account; knows files and tensors, no network."""

from mmattn.checkpoints.loading import (
    find_state_dict,
    load_accounted,
    read_checkpoint,
    refuse_code_in_checkpoints,
)

__all__ = ['find_state_dict', 'load_accounted', 'read_checkpoint', 'refuse_code_in_checkpoints']
