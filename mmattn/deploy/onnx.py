"""Files of ONNX, and what ONNX Runtime makes of them."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from mmattn.deploy import metadata as metadata_of_file
from mmattn.deploy.program import first_line, quiet
from mmattn.errors import InputError
from mmattn.layers.packages import import_optional

OPSET = 18
# What makes a file, and what also runs it.
CONVERTERS = ('onnx', 'onnxscript')
WRITERS = (*CONVERTERS, 'onnxruntime')

# Above it, weights would have to lie in a second file.
_MOST_BYTES = 2**31 - 1


def convert(program: Any, outputs: tuple[str, ...], text: str) -> bytes:
    """Convert a program of torch.export into the content of an ONNX file.

    Args:
        program: The program.
        outputs: Names of what it gives.
        text: What the file says of itself.

    Raises:
        InputError: If an operation cannot be converted, or the file would be too large.
    """
    onnx = import_optional('onnx', 'an ONNX file')
    import_optional('onnxscript', 'an ONNX file')
    try:
        with quiet(), _silent('torch.onnx', 'onnx_ir', 'onnxscript'), torch.no_grad():
            converted = torch.onnx.export(
                program,
                dynamo=True,
                opset_version=OPSET,
                input_names=[metadata_of_file.INPUT],
                output_names=list(outputs),
                verbose=False,
            )
    except Exception as error:
        raise InputError(
            f'an operation of this model cannot be converted to ONNX ({first_line(error)}); use '
            '--to export'
        ) from error
    model: Any = cast(Any, converted).model_proto
    _name_sides(model.graph)
    model.metadata_props.add(key=metadata_of_file.KEY, value=text)
    if model.ByteSize() > _MOST_BYTES:
        raise InputError(
            f'an ONNX file has 2 GB at most, and this one would have {model.ByteSize() / 1e9:.1f}; '
            'use --to export'
        )
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def _name_sides(graph: Any) -> None:
    """Call the sides of an image of any size height and width, wherever they occur."""
    sides = graph.input[0].type.tensor_type.shape.dim[2:]
    names = {side.dim_param: n for side, n in zip(sides, ('height', 'width'), strict=True)}
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in names and dim.dim_param:
                dim.dim_param = names[dim.dim_param]


@contextmanager
def _silent(*names: str) -> Iterator[None]:
    """Keep what loggers say of their steps from the terminal."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def start(path: str) -> Any:
    """Give a session of ONNX Runtime, on the CPU with as many threads as PyTorch has.

    Args:
        path: The file.
    """
    runtime = import_optional('onnxruntime', Path(path).name)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Of errors; what it warns of concerns those who work on it.
    options.log_severity_level = 3
    return runtime.InferenceSession(path, options, ['CPUExecutionProvider'])


def read(path: str) -> tuple[Callable[[np.ndarray], list[np.ndarray]], dict[str, Any]]:
    """Make ONNX Runtime ready to run a file.

    Args:
        path: The file.

    Returns:
        A function from an image (1, C, H, W) to arrays, and what the file says of itself.

    Raises:
        InputError: If it is none, or ONNX Runtime cannot run it.
    """
    import_optional('onnxruntime', Path(path).name)
    try:
        session = start(path)
    except Exception as error:
        raise InputError(
            f'{path} is damaged, no ONNX file, or needs another ONNX Runtime '
            f'({first_line(error)}); deploy the model again'
        ) from error
    text = session.get_modelmeta().custom_metadata_map.get(metadata_of_file.KEY)
    metadata = metadata_of_file.read(text, path)

    def run(image: np.ndarray) -> list[np.ndarray]:
        return session.run(None, {metadata_of_file.INPUT: image})

    return run, metadata
