"""How a promise is asked for, and what is said where it does not hold."""

import os
import re
import warnings
from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import Tensor, nn

from mmattn.compat import TORCH

Asked = TypeVar('Asked')
Module = TypeVar('Module', bound=nn.Module)


class Broken(AssertionError):
    """A promise that does not hold: what was expected and what came, in one line."""


class NotAskedError(Exception):
    """A promise that an older PyTorch cannot be asked for: why, in a few words."""


def ask_from(version: tuple[int, int], what: str) -> None:
    """Leave the rest of a promise out where PyTorch is older than what it is about.

    Args:
        version: Version of PyTorch that has it.
        what: What it is.

    Raises:
        NotAskedError: If this PyTorch has not.
    """
    if version > TORCH:
        raise NotAskedError(f'{what} needs PyTorch {".".join(map(str, version))}')


def why_not_half(error: Exception) -> str | None:
    """Say why an error is none of the code, where PyTorch has no float16 on the CPU yet."""
    if TORCH < (2, 4) and _NO_HALF.search(str(error)):
        return 'float16 on the CPU needs PyTorch 2.4'
    return None


_NO_HALF = re.compile("not implemented for 'Half'|AutocastCPU only support")


def keep(name: str, asked: Asked, promises: Iterable[Callable[[Asked], None]]) -> None:
    """Ask for promises, each with the same random numbers.

    Args:
        name: Who made them, for the message.
        asked: What they are asked of.
        promises: Functions that raise :class:`Broken`. The docstring says in one line what is
            promised.

    Raises:
        Broken: For the first one that does not hold: by its name, with what was expected and what
            came, in one line.
        pytest.skip.Exception: If all hold that this PyTorch can be asked for, but not all can, and
            this is a test of pytest; elsewhere it is a warning.
    """
    left = []
    for promise in promises:
        try:
            with torch.random.fork_rng(devices=()), torch.enable_grad():
                torch.manual_seed(0)
                promise(asked)
        except Exception as error:
            reason = str(error) if isinstance(error, NotAskedError) else why_not_half(error)
            if reason is not None:
                left.append(f'{promise.__name__}: {reason}')
                continue
            said = str(error) if isinstance(error, Broken) else f'got {in_one_line(error)}'
            promised = str(promise.__doc__).removesuffix('.')
            raise Broken(f'{name} breaks a promise, "{promised}": {said}') from error
    if left:
        _tell(name, f'not asked of PyTorch {torch.__version__}: {"; ".join(left)}')


def _tell(name: str, left: str) -> None:
    if 'PYTEST_CURRENT_TEST' in os.environ:
        import pytest

        pytest.skip(left)  # pytest names what it skips
    warnings.warn(f'{name}: {left}', stacklevel=4)


def expect(holds: bool, expected: str, got: object) -> None:
    """Say what was expected and what came, unless it holds."""
    if not holds:
        raise Broken(f'expected {expected}, got {got}')


def expect_close(got: Tensor, expected: Tensor, meaning: str) -> None:
    """Compare two tensors, in value, shape and type.

    Args:
        got: What came.
        expected: What was expected.
        meaning: The same in words.
    """
    try:
        torch.testing.assert_close(got, expected)
    except AssertionError as error:
        differs = ' '.join(str(error).split())
        raise Broken(f'expected {meaning}, got another result: {differs}') from error


def expect_error(kind: type[Exception], words: str, when: str, call: Callable[[], object]) -> None:
    """Ask for an error.

    Args:
        kind: Class of the error.
        words: Pattern that its message contains.
        when: What is wrong with the call.
        call: The call.
    """
    try:
        call()
    except Exception as error:
        if isinstance(error, kind) and re.search(words, str(error)):
            return
        got = in_one_line(error)
    else:
        got = 'no error'
    raise Broken(f'expected a {kind.__name__} that says {words!r} for {when}, got {got}')


def in_one_line(error: Exception) -> str:
    """Give the class of an error and the first line of its message."""
    [first, *_] = str(error).strip().splitlines() or ['']
    return f'{type(error).__name__}: {first}'


def gradients_of(module: nn.Module, *maps: Tensor) -> dict[str, Tensor]:
    """Give the gradients of the parameters and of the maps by name, and ask for all of them."""
    named = {**dict(module.named_parameters()), **{f'input {i}': x for i, x in enumerate(maps, 1)}}
    found = {name: tensor.grad for name, tensor in named.items() if tensor.grad is not None}
    without = ', '.join(name for name in named if name not in found)
    expect(not without, 'a gradient of everything', f'none of {without}')
    return found


def expect_gradients(module: nn.Module, *maps: Tensor) -> None:
    """Ask for a gradient of every parameter and of every map, none of them infinite or NaN."""
    grads = gradients_of(module, *maps)
    wild = [name for name, grad in grads.items() if not grad.isfinite().all()]
    expect(not wild, 'finite gradients', f'infinite or NaN ones of {", ".join(wild)}')


def randomize(module: Module, seed: int = 0) -> Module:
    """Give every parameter and statistic a value that is not its initial one; constants stay."""
    generator = torch.Generator().manual_seed(seed)
    buffers = [name for name, _ in module.named_buffers()]
    constants = {name for name in buffers if 'running_' not in name}
    for name, tensor in module.state_dict().items():
        if name in constants:
            continue
        # Weights of maps act while they are positive.
        if name.rpartition('.')[2] in ('running_var', 'weights'):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
        elif tensor.is_floating_point():
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.5)
    return module
