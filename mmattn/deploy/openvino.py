"""Files of OpenVINO, made of those of ONNX, and what its runtime makes of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmattn.deploy import metadata as metadata_of_file
from mmattn.deploy.program import first_line
from mmattn.errors import InputError
from mmattn.layers.packages import import_optional

_HINTS = {'float32': 'f32', 'bfloat16': 'bf16'}


def check_dtype(dtype: str) -> None:
    """Check that the processor of this machine computes in a type.

    Raises:
        InputError: If it does not.
    """
    runtime = import_optional('openvino', 'OpenVINO')
    able = runtime.Core().get_property('CPU', 'OPTIMIZATION_CAPABILITIES')
    if dtype == 'bfloat16' and 'BF16' not in able:
        raise InputError(
            'the processor of this machine does not compute in bfloat16 (OpenVINO says it can '
            f'{", ".join(able)}); use float32'
        )


def write(content: bytes, path: Path, text: str) -> None:
    """Write a file of OpenVINO, and its weights into another one whose name ends in ``.bin``.

    Args:
        content: That of an ONNX file.
        path: The file, whose name ends in ``.xml``.
        text: What it says of itself.

    Raises:
        InputError: If OpenVINO cannot convert it.
    """
    runtime = import_optional('openvino', 'OpenVINO')
    try:
        model = runtime.Core().read_model(content, b'')
    except RuntimeError as error:
        raise InputError(
            f'OpenVINO cannot convert this model ({first_line(error)}); use --to onnx'
        ) from error
    model.set_rt_info(text, [metadata_of_file.KEY])
    runtime.save_model(model, path, compress_to_fp16=False)


def read(path: str) -> tuple[Callable[[np.ndarray], list[np.ndarray]], dict[str, Any]]:
    """Make OpenVINO ready to run a file, on the CPU with as many threads as PyTorch has.

    Args:
        path: The file, beside which is that of its weights.

    Returns:
        A function from an image (1, C, H, W) to arrays, and what the file says of itself.

    Raises:
        InputError: If it is none, its weights are missing, or the processor does not compute in its
            type.
    """
    runtime = import_optional('openvino', Path(path).name)
    core = runtime.Core()
    weights = Path(path).with_suffix('.bin')
    if not weights.is_file():
        raise InputError(
            f'{weights} is not a file; it has the weights of {path}, and belongs to it'
        )
    try:
        model = core.read_model(path)
        text = model.get_rt_info([metadata_of_file.KEY]).astype(str)
    except RuntimeError as error:
        raise InputError(
            f'{path} is damaged, no file of OpenVINO, or not one that mmattn deploy wrote '
            f'({first_line(error)}); deploy the model again'
        ) from error
    metadata = metadata_of_file.read(text, path)
    return start(model, metadata['dtype']), metadata


def start(model: Any, dtype: str) -> Callable[..., list[np.ndarray]]:
    """Make OpenVINO ready to run a model, on the CPU with as many threads as PyTorch has.

    Args:
        model: The model as OpenVINO reads it.
        dtype: Type that it computes in, ``'float32'`` or ``'bfloat16'``.

    Returns:
        A function from the inputs of the model to its outputs.

    Raises:
        InputError: If the processor does not compute in this type.
    """
    runtime = import_optional('openvino', 'OpenVINO')
    check_dtype(dtype)
    options = {
        # Otherwise it takes what it finds fastest, bfloat16 where there is such a thing.
        'INFERENCE_PRECISION_HINT': _HINTS[dtype],
        'INFERENCE_NUM_THREADS': torch.get_num_threads(),
    }
    compiled = runtime.Core().compile_model(model, 'CPU', options)

    def run(*inputs: np.ndarray) -> list[np.ndarray]:
        found = compiled(inputs)
        # They are overwritten by the next run.
        return [np.array(found[output]) for output in compiled.outputs]

    return run
