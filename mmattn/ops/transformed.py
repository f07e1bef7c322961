"""Whether a transform of ``torch.func`` is at work."""

import torch
from torch import Tensor


def is_transformed(x: Tensor) -> bool:
    """Tell whether ``torch.func.vmap``, ``grad`` or the like is at work on a tensor.

    No PyTorch up to 2.15 has a public function for it.
    """
    return torch._C._functorch.is_functorch_wrapped_tensor(x)
