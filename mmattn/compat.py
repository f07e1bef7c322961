"""What versions of PyTorch do differently, one function a difference.

The oldest that is served is 2.1. Each function says from which version on it is one call, and goes
when that version is the oldest one: what stands behind ``TORCH <`` goes then, too.
"""

import datetime
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.utils.hooks import RemovableHandle

# Of PyTorch: (2, 1) is 2.1.2, too.
TORCH = tuple(int(part) for part in torch.__version__.split('.')[:2])


def is_compiling() -> bool:
    """Tell whether this is traced by ``torch.compile`` or ``torch.export``.

    From 2.3 on: ``torch.compiler.is_compiling``.
    """
    if TORCH < (2, 3):
        return torch._utils.is_compiling()
    return torch.compiler.is_compiling()


def constant_for_compiler(function: Callable[..., bool]) -> Callable[..., bool]:
    """Let a compiler call a function while it traces, and take what it says for a constant.

    This is what ``torch.compiler.assume_constant_result`` does, which loads the compiler.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


def is_exporting() -> bool:
    """Tell whether what is traced is to run elsewhere: by ``torch.export``, not ``torch.compile``.

    From 2.7 on: ``torch.compiler.is_exporting``. Before, the two are not told apart.
    """
    return is_compiling() and (TORCH < (2, 7) or _is_exporting())


@constant_for_compiler
def _is_exporting() -> bool:
    # torch.compile takes the call itself for True.
    return torch.compiler.is_exporting()


def is_known(comparison: bool) -> bool:
    """Tell whether a comparison of sizes holds; no where a compiler leaves one of them open.

    From 2.7 on: ``statically_known_true``. Before, it is not asked while something is traced.
    """
    if TORCH < (2, 7) or not is_compiling():
        return comparison
    return torch.fx.experimental.symbolic_shapes.statically_known_true(comparison)


def at_least_float32(dtype: torch.dtype) -> torch.dtype:
    """Widen a real type to float32, unless it is wider.

    From 2.2 on: ``torch.promote_types``, which ``torch.compile`` of 2.1 cannot trace.
    """
    if TORCH < (2, 2):
        return torch.float64 if dtype == torch.float64 else torch.float32
    return torch.promote_types(dtype, torch.float32)


def autocast_dtype(device_type: str) -> torch.dtype | None:
    """Give the type in which autocast computes on a kind of device; None where it is off.

    From 2.4 on: ``torch.is_autocast_enabled(device_type)``, ``torch.get_autocast_dtype``.
    """
    if TORCH < (2, 4):
        if device_type == 'cuda':
            return torch.get_autocast_gpu_dtype() if torch.is_autocast_enabled() else None
        if device_type == 'cpu':
            return torch.get_autocast_cpu_dtype() if torch.is_autocast_cpu_enabled() else None
        return None
    if torch.is_autocast_enabled(device_type):
        return torch.get_autocast_dtype(device_type)
    return None


def scores_overflow(dtype: torch.dtype) -> bool:
    """Tell whether ``scaled_dot_product_attention`` of a type can have infinite scores.

    From 2.5 on: False. Before, the way over a matrix of scores had them in half precision.
    """
    return TORCH < (2, 5) and dtype in (torch.float16, torch.bfloat16)


@contextmanager
def every_submodule_runs(model: nn.Module) -> Iterator[None]:
    """Keep PyTorch's own encoder layers from skipping their submodules in evaluation.

    From 2.3 on: ``torch.backends.mha.set_fastpath_enabled``.

    Args:
        model: A copy, which below 2.3 never skips them again.
    """
    if TORCH < (2, 3):
        for module in model.modules():
            if isinstance(module, nn.TransformerEncoderLayer):
                module.activation_relu_or_gelu = 0
            elif isinstance(module, nn.TransformerEncoder):
                module.use_nested_tensor = False
        yield
        return
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


def register_load_pre_hook(module: nn.Module, hook: Callable[..., Any]) -> RemovableHandle:
    """Let a hook see, with the module itself, what is about to be loaded into the module.

    From 2.5 on: ``nn.Module.register_load_state_dict_pre_hook``.
    """
    if TORCH < (2, 5):
        return module._register_load_state_dict_pre_hook(hook, with_module=True)
    return module.register_load_state_dict_pre_hook(hook)


def has_fully_shard() -> bool:
    """Tell whether there are FSDP2, ``DeviceMesh`` and ``DTensor`` as they are used here.

    From 2.6 on.
    """
    return TORCH >= (2, 6)


# What a store raises that is taken, cut off or silent. From 2.2 on: torch.distributed.DistError.
DIST_ERRORS = (RuntimeError, TimeoutError) if TORCH < (2, 2) else (dist.DistError,)


def are_stored(store: dist.Store, keys: list[str]) -> bool:
    """Tell whether a store has all of some keys, without waiting for them.

    From 2.3 on: ``torch.distributed.Store.check``.
    """
    if TORCH < (2, 3):
        try:
            store.wait(keys, datetime.timedelta(milliseconds=10))
        except RuntimeError as error:
            if 'imeout' not in str(error):
                raise
            return False
        return True
    return store.check(keys)


def is_first(store: dist.Store, key: str, name: str) -> bool:
    """Elect the first of all who ask a store for a key.

    From 2.3 on: ``torch.distributed.Store.compare_set``, with which 2.1 crashes. Before, who asks
    twice is not elected twice.
    """
    if TORCH < (2, 3):
        return store.add(key, 1) == 1
    return store.compare_set(key, '', name) == name.encode()


def is_of_a_collective(error: Exception) -> bool:
    """Tell whether processes have lost each other, by what a collective or a store raises.

    From 2.2 on, all but what gloo raises is a ``torch.distributed.DistError``.
    """
    if TORCH < (2, 2):
        raised = isinstance(error, RuntimeError | TimeoutError)
        return raised and _NETWORK.search(str(error)) is not None
    # What gloo raises has no class of its own.
    return isinstance(error, dist.DistError) or 'gloo' in str(error)


_NETWORK = re.compile('gloo|NCCL|TCPStore|[Ss]ocket|Connection|Broken pipe')


def default_timeout(backend: str) -> datetime.timedelta:
    """Give the limit of a collective where none is set.

    From 2.2 on: ``torch.distributed.constants.default_pg_nccl_timeout`` and
    ``default_pg_timeout``. In 2.1 nccl has no limit of its own.
    """
    constants = dist.constants
    if 'nccl' not in backend or TORCH < (2, 2):
        return constants.default_pg_timeout
    assert constants.default_pg_nccl_timeout is not None, 'this PyTorch has no nccl'
    return constants.default_pg_nccl_timeout


def gpu_uuid(index: int) -> str:
    """Give what tells a GPU from all others, by its number among those that are visible.

    From 2.5 on: ``torch.cuda.get_device_properties(index).uuid``.
    """
    if TORCH < (2, 5):
        uuids = torch.cuda._raw_device_uuid_nvml()
        assert uuids is not None, 'the driver does not answer'
        return uuids[torch.cuda._get_nvml_device_index(index)]
    return str(torch.cuda.get_device_properties(index).uuid)
