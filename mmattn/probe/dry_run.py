"""One forward of a copy of any host, to learn the shapes inside it."""

import copy
import dataclasses
import io
import logging
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import (
    AbstractContextManager,
    contextmanager,
    nullcontext,
    redirect_stderr,
    redirect_stdout,
)
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmattn.compat import every_submodule_runs
from mmattn.errors import InputError
from mmattn.probe.inputs import (
    IMAGE,
    SMALL_IMAGE,
    InputShape,
    Trial,
    trials,
)
from mmattn.probe.structures import map_structure


@dataclasses.dataclass
class Record:
    """What one module was given and gave at its first call.

    Structures are as the host has them; each tensor in them is an empty one on the meta device.
    ``later`` holds the same of its later calls.
    """

    name: str
    type: type[nn.Module]
    args: tuple
    kwargs: dict[str, Any]
    output: Any = None
    later: list['Record'] = dataclasses.field(default_factory=list)

    @property
    def calls(self) -> int:
        """Number of calls."""
        return 1 + len(self.later)


@dataclasses.dataclass(frozen=True)
class DryRun:
    """Records of one forward, by the name of the module and in the order of the first calls.

    A module that never ran has no record.
    """

    records: dict[str, Record]
    image: tuple[int, int] | None
    """Height and width of the image, where the host takes one."""


def dry_run(host: nn.Module, input_shape: InputShape | None = None) -> DryRun:
    """Run a copy of ``host`` once, in evaluation mode, and note the shapes inside it.

    The copy has its weights on the meta device, or shares them with the host where the forward
    needs their values. The host and the states of all random generators stay as found.

    Args:
        host: Backbone, neck, head or whole model.
        input_shape: Shape (C, H, W) of its input, or one for each of the maps that it takes; by
            default they are guessed from the attributes of the host.

    Returns:
        The records of all modules that ran.

    Raises:
        InputError: If the host runs on none of the guessed inputs, or not on the given one.
    """
    faults: dict[Callable, tuple[Trial, Exception]] = {}
    with _silence(), _random_states_kept(), torch.no_grad():
        for trial, twin_of in _attempts(host, input_shape):
            try:
                twin = _copied(host, twin_of)
                trial.prepare(twin)
                with every_submodule_runs(twin), _recorded(twin) as records:
                    trial.run(twin, partial(_tensor_like, _first_weight(twin)))
            except Exception as error:
                faults.setdefault(twin_of, (trial, error))
            else:
                return DryRun(records, trial.image)
    # On the meta device it may have failed for being there.
    raise _unfit(host, input_shape, *list(faults.values())[-1])


@dataclasses.dataclass(frozen=True)
class ValueRun:
    """A way to run a host with the values of its weights, time and again on the same input."""

    trial: Trial
    like: Tensor
    """Empty tensor of the type and on the device of the input."""

    def repeat(
        self,
        host: nn.Module,
        watch: Callable[[nn.Module], AbstractContextManager] = lambda twin: nullcontext(),
    ) -> Any:
        """Run a copy of ``host`` in evaluation mode.

        The host and the states of all random generators stay as found.

        Args:
            host: What is run, or what is to do the same.
            watch: Gives what the copy runs in.

        Returns:
            Its output.
        """
        with _silence(), _random_states_kept(), torch.no_grad():
            random.seed(0)
            np.random.seed(0)
            torch.manual_seed(0)
            twin = _copied(host, _shared_twin)
            self.trial.prepare(twin, has_values=True)
            with every_submodule_runs(twin), watch(twin):
                return self.trial.run(twin, partial(_tensor_like, self.like))


def value_run(host: nn.Module, input_shape: InputShape | None = None) -> tuple[ValueRun, Any]:
    """Find a way to run a copy of ``host`` with the values of its weights.

    Args:
        host: Backbone, neck, head or whole model.
        input_shape: Shape (C, H, W) of its input, or one for each of the maps that it takes; by
            default they are guessed from the attributes of the host.

    Returns:
        The way and the output.

    Raises:
        InputError: If the host runs on none of the guessed inputs, or not on the given one.
    """
    like = _first_weight(host).detach().new_empty(0)
    fault = None
    for trial in trials(host, input_shape, SMALL_IMAGE):
        run = ValueRun(trial, like)
        try:
            return run, run.repeat(host)
        except Exception as error:
            fault = fault or (trial, error)
    assert fault is not None, 'there are always trials'
    raise _unfit(host, input_shape, *fault)


def _unfit(
    host: nn.Module, input_shape: InputShape | None, likeliest: Trial, reason: Exception
) -> InputError:
    fault = f'{type(reason).__name__}: {(str(reason).splitlines() or [""])[0]}'
    if input_shape is not None:
        return InputError(
            f'expected {type(host).__name__} to run once on input_shape={input_shape}, '
            f'got {fault}; give the shape of what its forward takes'
        )
    return InputError(
        f'expected {type(host).__name__} to run once on an input guessed from its attributes, '
        f'got on {likeliest}: {fault}; give input_shape=(C, H, W), or a list of these for maps'
    )


def shapes_of(value: Any) -> Any:
    """Replace each tensor of a structure by an empty one of its shape on the meta device."""
    return map_structure(
        lambda tensor: torch.empty(tensor.shape, dtype=tensor.dtype, device='meta'), value, Tensor
    )


def copy_on_meta(module: nn.Module) -> nn.Module:
    """Copy a module with its weights on the meta device, which takes no memory."""
    return _copied(module, _meta_twin)


def _attempts(
    host: nn.Module, input_shape: InputShape | None
) -> Iterator[tuple[Trial, Callable[[Tensor], Tensor]]]:
    """List what to run the host on, and what stands for its weights in the copy that runs."""
    on_meta = ((trial, _meta_twin) for trial in trials(host, input_shape, IMAGE))
    if any(tensor.is_meta for tensor in (*host.parameters(), *host.buffers())):
        return on_meta
    with_values = ((trial, _shared_twin) for trial in trials(host, input_shape, SMALL_IMAGE))
    return chain.from_iterable(zip(on_meta, with_values, strict=True))


def _meta_twin(tensor: Tensor) -> Tensor:
    twin = torch.empty_like(tensor, device='meta')
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(twin, requires_grad=tensor.requires_grad)
    return twin


def _shared_twin(tensor: Tensor) -> Tensor:
    """Share a parameter, which a forward only reads, and copy a buffer, which it may write."""
    return tensor if isinstance(tensor, nn.Parameter) else tensor.detach().clone()


def _copied(host: nn.Module, twin_of: Callable[[Tensor], Tensor]) -> nn.Module:
    tensors = (*host.parameters(), *host.buffers())
    twin = copy.deepcopy(host, {id(tensor): twin_of(tensor) for tensor in tensors})
    # Backbones of mmdet return None here.
    twin.eval()
    return twin


def _first_weight(host: nn.Module) -> Tensor:
    """Give the tensor whose device and dtype the inputs take."""
    floating = (t for t in (*host.parameters(), *host.buffers()) if t.is_floating_point())
    return next(floating, torch.empty(0))


def _tensor_like(weight: Tensor, shape: torch.Size) -> Tensor:
    return torch.rand(shape, dtype=weight.dtype, device=weight.device)


@contextmanager
def _recorded(host: nn.Module) -> Iterator[dict[str, Record]]:
    """Note what every module is given and gives, also where its ``forward`` is called directly."""
    records: dict[str, Record] = {}

    def recording(name: str, module: nn.Module) -> Callable:
        forward = module.forward

        def record(*args, **kwargs) -> Any:
            call = Record(name, type(module), shapes_of(args), shapes_of(kwargs))
            if name in records:
                records[name].later.append(call)
            else:
                records[name] = call
            output = forward(*args, **kwargs)
            call.output = shapes_of(output)
            return output

        return record

    for name, module in host.named_modules():
        if not isinstance(module, torch.jit.ScriptModule):
            module.forward = recording(name, module)
    yield records


@contextmanager
def _silence() -> Iterator[None]:
    """Keep what a host prints, warns and logs on the way from the user."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(disabled)


@contextmanager
def _random_states_kept() -> Iterator[None]:
    python, numpy_ = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy_)
