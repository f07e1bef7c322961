"""Programs of torch.export: a graph traced once, and written as a file that needs PyTorch alone."""

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from mmattn.compat import TORCH
from mmattn.deploy import metadata as metadata_of_file
from mmattn.deploy.graph import Graph
from mmattn.errors import InputError

_FILE = f'{metadata_of_file.KEY}.json'


def trace(graph: Graph, image: Tensor, *, dynamic: bool) -> Any:
    """Trace a graph.

    Args:
        graph: The graph.
        image: An image (1, C, H, W).
        dynamic: Whether the program takes any height and width from
            ``graph.least`` to 8192 pixels.

    Returns:
        The program of :func:`torch.export.export`.

    Raises:
        InputError: If PyTorch is too old, or the graph decides by values what it computes.
    """
    if TORCH < (2, 6):
        raise InputError(
            f'exporting needs PyTorch 2.6, and this is {torch.__version__}; install a newer one'
        )
    sides = None
    if dynamic:
        height, width = (
            torch.export.Dim(n, min=graph.least, max=metadata_of_file.MOST)
            for n in ('height', 'width')
        )
        sides = ({2: height, 3: width},)
    try:
        with torch.no_grad(), quiet(), _PlainSubsampling():
            return torch.export.export(
                graph,
                (image,),
                dynamic_shapes=sides,
                strict=False,
                # What holds for all sizes but cannot be shown to hold is asked when it runs.
                prefer_deferred_runtime_asserts_over_guards=True,
            )
    # It has exceptions of many kinds, and what it follows others.
    except Exception as error:
        what = ' with --dynamic' if dynamic else ''
        raise InputError(
            f'torch.export cannot follow this model{what} ({first_line(error)}); '
            f'{"leave --dynamic out" if dynamic else "predict with its checkpoint instead"}'
        ) from error


class _PlainSubsampling(TorchFunctionMode):
    """Takes every second pixel by its number where a pool of single pixels does it, as in an FPN.

    Of a pool, PyTorch's tracer decides whether sides are even, and of a slice how pixels lie in
    memory; then the program is for such images alone.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.max_pool2d and args[1:] == (1,) and not kwargs.get('return_indices'):
            step, padding = kwargs.get('stride'), kwargs.get('padding')
            if isinstance(step, int) and padding == 0:
                x = args[0]
                rows, columns = (torch.arange(0, n, step, device=x.device) for n in x.shape[2:])
                return x.index_select(2, rows).index_select(3, columns)
        return func(*args, **kwargs)


def first_line(error: Exception) -> str:
    """Give the kind of an error of a tool, and the first line of what it says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f'{type(error).__name__}: {lines[0][:200]}' if lines else type(error).__name__


@contextmanager
def quiet() -> Iterator[None]:
    """Keep warnings of PyTorch's tracers to those who can do something about them."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield


def write(program: Any, path: Path, text: str) -> None:
    """Write a program into a file.

    Args:
        program: The program.
        path: The file, whose name may end in anything.
        text: What it says of itself.
    """
    buffer = io.BytesIO()
    with quiet():
        torch.export.save(program, buffer, extra_files={_FILE: text})
    path.write_bytes(buffer.getvalue())


def read(path: str) -> tuple[Callable[[np.ndarray], list[np.ndarray]], dict[str, Any]]:
    """Read a program out of a file.

    Args:
        path: The file.

    Returns:
        A function from an image (1, C, H, W) to arrays, and what the file says of itself.

    Raises:
        InputError: If it is none.
    """
    extra = {_FILE: ''}
    try:
        with quiet():
            program = torch.export.load(io.BytesIO(Path(path).read_bytes()), extra_files=extra)
    except Exception as error:
        raise InputError(
            f'{path} is damaged, or no program of torch.export ({first_line(error)}); deploy the '
            'model again'
        ) from error
    text: Any = extra[_FILE]
    described = metadata_of_file.read(text.decode() if isinstance(text, bytes) else text, path)
    module = program.module()

    def run(image: np.ndarray) -> list[np.ndarray]:
        try:
            with torch.no_grad():
                return [output.numpy() for output in module(torch.from_numpy(image))]
        except (AssertionError, RuntimeError) as error:
            height, width = image.shape[2:]
            raise InputError(
                f'{path} cannot compute an image of {width}x{height} ({first_line(error)}); deploy '
                'the model for that size alone, or to another kind of file'
            ) from error

    return run, described
