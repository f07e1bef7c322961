"""When a layer may be applied to a map on a CPU in another way than by calling it."""

import torch
from torch import Tensor, nn

from mmattn.compat import constant_for_compiler, is_compiling, is_exporting
from mmattn.ops.bare import is_bare

# Of other classes are fake tensors and those that lie on several devices.
_PLAIN = (Tensor, nn.Parameter)
_GLOBAL_HOOKS = [
    f'_global_{kind}_hooks' for kind in ('forward_pre', 'forward', 'backward_pre', 'backward')
]


def is_unseen(layer: nn.Module, x: Tensor, *, compiled: bool = False) -> bool:
    """Tell whether nobody sees how a layer is applied to a map (N, C, H, W) on a CPU.

    What is exported is the plain form, a compiler has ways of its own, and hooks expect the call,
    the input and the output of the layer itself.

    Args:
        layer: The layer.
        x: The map.
        compiled: Whether ``torch.compile`` may see it, because it has no such way.
    """
    return x.device.type == 'cpu' and x.ndim == 4 and is_plain(layer, x, compiled=compiled)


def is_plain(layer: nn.Module, *maps: Tensor, compiled: bool = False) -> bool:
    """Tell whether nobody sees how a layer is applied to maps, wherever they lie."""
    return (
        not (is_exporting() if compiled else is_compiling())
        and not torch.jit.is_tracing()
        and all(type(x) in _PLAIN for x in maps)
        and all(type(parameter) in _PLAIN for parameter in layer.parameters(recurse=False))
        and 'forward' not in vars(layer)
        and is_bare(layer)
        and not any(getattr(nn.modules.module, hooks) for hooks in _GLOBAL_HOOKS)
    )


@constant_for_compiler
def has_onednn(dtype: torch.dtype) -> bool:
    """Tell whether oneDNN computes in a type here: float32 or, on newer machines, bfloat16."""
    if not (torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled):
        return False
    if dtype == torch.bfloat16:
        return torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return dtype == torch.float32
