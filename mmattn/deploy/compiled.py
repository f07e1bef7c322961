"""Programs of torch.export compiled into machine code by PyTorch's compiler, ahead of their use."""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmattn.deploy import metadata as metadata_of_file
from mmattn.deploy.program import first_line, quiet
from mmattn.errors import InputError

# In the archive, of whatever folder, what is compiled lies here.
_PLACE = '/data/aotinductor/'


def check_compiler() -> None:
    """Check that there is a compiler of C++.

    Raises:
        InputError: If not.
    """
    if not (shutil.which('g++') or shutil.which('clang++')):
        raise InputError('--to compile needs a compiler of C++; install g++, or use --to fold')


def write(program: Any, path: Path, text: str) -> None:
    """Compile a program, for processors such as this one, and write it into a file.

    Args:
        program: The program.
        path: The file, whose name ends in ``.pt2``.
        text: What it says of itself.

    Raises:
        InputError: If it cannot be compiled.
    """
    from torch._inductor import aoti_compile_and_package

    try:
        with quiet(), torch.no_grad():
            aoti_compile_and_package(
                program,
                package_path=str(path),
                inductor_configs={'aot_inductor.metadata': {metadata_of_file.KEY: text}},
            )
    except Exception as error:
        raise InputError(
            f'this model cannot be compiled ({first_line(error)}); use --to fold'
        ) from error


def is_compiled(path: str) -> bool:
    """Tell whether a ``.pt2`` holds machine code."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(_PLACE in name for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def read(path: str) -> tuple[Callable[[np.ndarray], list[np.ndarray]], dict[str, Any]]:
    """Read a compiled program out of a file; its code runs as that of any program.

    Args:
        path: The file.

    Returns:
        A function from an image (1, C, H, W) to arrays, and what the file says of itself.

    Raises:
        InputError: If it is none, or was compiled for another machine or PyTorch.
    """
    # Its operators are those of a detector.
    import torchvision  # noqa: F401
    from torch._inductor import aoti_load_package

    try:
        with quiet():
            program: Any = aoti_load_package(path)
            text = program.get_metadata().get(metadata_of_file.KEY)
    except Exception as error:
        raise InputError(
            f'{path} is damaged, or was compiled for another machine or PyTorch '
            f'({first_line(error)}); deploy the model again'
        ) from error
    metadata = metadata_of_file.read(text, path)

    def run(image: np.ndarray) -> list[np.ndarray]:
        with torch.no_grad():
            return [output.numpy() for output in program(torch.from_numpy(image))]

    return run, metadata
