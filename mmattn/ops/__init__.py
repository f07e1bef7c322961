"""Functions on tensors under the attention modules; they know torch only."""

from mmattn.ops.coord_gate import coord_gate
from mmattn.ops.coord_pool import coord_pool
from mmattn.ops.lka_gate import lka_gate

__all__ = ['coord_gate', 'coord_pool', 'lka_gate']
