"""What the tensors of a module are, by their names: attention, heads, output norms, constants."""

import re

from torch import nn

from mmattn.layers.plugins import plugins_of

_HEAD = re.compile(r'^(fc|classifier)\.|^(.*\.)?\w*heads?\.')


def is_head(name: str) -> bool:
    """Tell whether a tensor belongs to a head, by its name."""
    return _HEAD.match(name) is not None


def role_of(module: nn.Module) -> str | None:
    """Tell what a module says that it is to its network, ``'attention'`` or ``'backbone'``."""
    return getattr(module, 'role', None)


class Kinds:
    """What the tensors of a module are.

    Args:
        root: The module.
    """

    def __init__(self, root: nn.Module) -> None:
        self.is_backbone = role_of(root) == 'backbone'
        self.slots = {m.slot for m in root.modules() if role_of(m) == 'backbone'}
        self.parameters = {name for name, _ in root.named_parameters(remove_duplicate=False)}
        self.attention = set(plugins_of(root))
        for path, module in root.named_modules(remove_duplicate=False):
            if role_of(module) == 'attention':
                self.attention.add(path)

    def is_needed(self, name: str) -> bool:
        """Tell weights and statistics from counters and from constants that a host computes."""
        return name in self.parameters or name.endswith(('running_mean', 'running_var'))

    def reason_to_be_new(self, name: str) -> str | None:
        """Say why a tensor may be new; None if it may not."""
        if self._is_attention(name):
            return 'attention'
        if is_head(name):
            return 'head'
        # A backbone for dense prediction has one per map, a classifier at most the last one.
        if not self.is_backbone and re.fullmatch(r'norm\d+\.(weight|bias)', name):
            return 'output norm'
        return None

    def _is_attention(self, name: str) -> bool:
        parts = name.split('.')
        if any(part.startswith('inserted_attention') for part in parts) or self.is_in_slot(name):
            return True
        return any('.'.join(parts[:i]) in self.attention for i in range(len(parts)))

    def is_in_slot(self, name: str) -> bool:
        """Tell whether a key belongs to the exchangeable module of a block of ours."""
        return any(f'.{slot}.' in name for slot in self.slots)
