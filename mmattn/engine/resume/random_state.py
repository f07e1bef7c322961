"""The random numbers of a process, to be kept and put back."""

import random
from typing import Any

import numpy as np
import torch


def get_random_state() -> dict[str, Any]:
    """Give the state of all global generators as plain data that a checkpoint may hold."""
    keys: Any  # for the stub it may be a key of a dict
    kind, keys, position, has_gauss, cached = np.random.get_state()
    return dict(
        python=random.getstate(),
        numpy=(kind, keys.tolist(), position, has_gauss, cached),
        torch=torch.get_rng_state(),
        cuda=torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    )


def set_random_state(state: dict[str, Any]) -> None:
    """Put the state of :func:`get_random_state` back.

    Args:
        state: The state; its CUDA part is left out on a machine without CUDA.
    """
    version, numbers, gauss = state['python']
    random.setstate((version, tuple(numbers), gauss))
    kind, keys, *rest = state['numpy']
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))
    # A checkpoint is loaded to the device of the model, tensors of its metadata included.
    torch.set_rng_state(state['torch'].cpu())
    if state['cuda'] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'].cpu())


def check_random_state(state: Any) -> str | None:
    """Look whether :func:`set_random_state` can take a state; no global generator is changed.

    Args:
        state: What a checkpoint has in the place of the state.

    Returns:
        What is wrong, or None.
    """
    if not isinstance(state, dict):
        return f'it is a {type(state).__name__}'
    for name, take in _TAKERS.items():
        if name not in state:
            return f'that of {name} is missing'
        try:
            take(state[name])
        except (TypeError, ValueError, ArithmeticError, LookupError, RuntimeError) as error:
            return f'that of {name} does not fit ({str(error).splitlines()[0]})'
    return None


def _take_python(state: Any) -> None:
    version, numbers, gauss = state
    random.Random().setstate((version, tuple(numbers), gauss))
    if not isinstance(gauss, float | None):
        raise ValueError(f'{gauss!r} is no number')


def _take_numpy(state: Any) -> None:
    kind, keys, position, has_gauss, cached = state
    # NumPy itself believes the position, wherever that leads.
    if not isinstance(position, int) or not 0 <= position <= len(keys):
        raise ValueError(f'position {position!r}')
    if not isinstance(has_gauss, int) or not isinstance(cached, float):
        raise ValueError(f'{cached!r} is no number')
    keys = np.array(keys, dtype=np.uint32)
    np.random.RandomState().set_state((kind, keys, position, has_gauss, cached))


def _take_torch(state: Any) -> None:
    if not isinstance(state, torch.Tensor):
        raise TypeError(f'a {type(state).__name__}')
    torch.Generator().set_state(state.cpu())


def _take_cuda(state: Any) -> None:
    if not isinstance(state, torch.Tensor | None):
        raise TypeError(f'a {type(state).__name__}')
    if state is not None and torch.cuda.is_available():
        torch.Generator('cuda').set_state(state.cpu())


_TAKERS = dict(python=_take_python, numpy=_take_numpy, torch=_take_torch, cuda=_take_cuda)
