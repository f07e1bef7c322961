"""Weights as they are read: where they come from, in which layout, and the tensors."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mmengine.runner import CheckpointLoader
from torch import Tensor

from mmattn.weights.layouts import Layout, recognise
from mmattn.weights.sources import register_sources
from mmattn.weights.state_dicts import find_entry, find_state_dict


@dataclass(frozen=True)
class Weights:
    """Weights that belong to no module yet.

    Args:
        source: Where they come from, for messages; with the entry if there was a choice.
        layout: Their layout, if it is a known one.
        tensors: The tensors by their names there.
        aside: Names of others that were beside them and are for no module.
    """

    source: str
    layout: Layout | None
    tensors: dict[str, Tensor]
    aside: tuple[str, ...] = ()

    def under(self, prefix: str) -> 'Weights':
        """Give those under a prefix, without it; all if there are none."""
        inner = {
            key.removeprefix(prefix): value
            for key, value in self.tensors.items()
            if key.startswith(prefix)
        }
        if not inner:
            return self
        aside = tuple(key for key in self.tensors if not key.startswith(prefix))
        return replace(self, tensors=inner, aside=aside)


def read_weights(path: str) -> Weights:
    """Read weights from a file or an address.

    Args:
        path: The file or the address.

    Returns:
        The weights, on the CPU.

    Raises:
        InputError: If they cannot be read.
    """
    register_sources()
    return weights_in(CheckpointLoader.load_checkpoint(path, 'cpu'), path)


def weights_in(
    checkpoint: dict, source: str, revise_keys: Sequence[tuple[str, str]] = ()
) -> Weights:
    """Take the weights out of a checkpoint.

    Args:
        checkpoint: The checkpoint; see :func:`mmattn.weights.state_dicts.find_entry`.
        source: Where it comes from, for messages.
        revise_keys: Patterns and replacements for the keys.

    Returns:
        The weights.

    Raises:
        InputError: If there are none.
    """
    state_dict, choice = find_entry(checkpoint)
    tensors = find_state_dict(state_dict)
    for pattern, replacement in revise_keys:
        tensors = {re.sub(pattern, replacement, key): value for key, value in tensors.items()}
    return Weights(f'{source}{choice}', recognise(tensors), tensors)
