"""A trained model written into a file that runs elsewhere, with a report on that file."""

import dataclasses
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmattn.deploy import compiled, onnx, openvino, program
from mmattn.deploy import metadata as metadata_of_file
from mmattn.deploy.comparison import differences, largest
from mmattn.deploy.exported import Exported, arrays_in, load_exported
from mmattn.deploy.graph import Graph, graph_of
from mmattn.deploy.validation import Validation
from mmattn.errors import InputError
from mmattn.files.whole_file import write_whole
from mmattn.layers.packages import import_optional
from mmattn.prediction.model import Model
from mmattn.probe.timing import take_turns

# A picture whose size in the network is that of a file for one size, unless that is given.
_PICTURE = (512, 512)
# Another one, so that a file for any size is tried with two.
_OTHER = (200, 300)
_SEED = 0
# Up to here the graph and the model differ by rounding.
_ROUNDING = dict(other_pixels=1e-3, score=1e-3, pixels=0.5, unmatched=2)


@dataclasses.dataclass(frozen=True)
class Target:
    """What a model can be exported to.

    Args:
        ending: How the names of its files end.
        dtypes: In which the network may compute, the default first.
        packages: What has to be installed.
        others: How the names of files end that belong to it.
        folded: Whether the network is folded first.
    """

    ending: str
    dtypes: tuple[str, ...]
    packages: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    folded: bool = False


TARGETS = {
    'export': Target('.pt2', ('float32', 'bfloat16', 'float16')),
    'fold': Target('.pt2', ('float32', 'bfloat16', 'float16'), folded=True),
    'compile': Target('.pt2', ('float32', 'bfloat16'), folded=True),
    'onnx': Target('.onnx', ('float32', 'float16'), onnx.WRITERS),
    'openvino': Target('.xml', ('float32', 'bfloat16'), (*onnx.CONVERTERS, 'openvino'), ('.bin',)),
}


def check(to: str, dtype: str | None, path: Path) -> str:
    """Check, before anything is loaded, what a model is to be exported to.

    Args:
        to: One of ``TARGETS``.
        dtype: In which the network is to compute; None for the default.
        path: The file.

    Returns:
        The type.

    Raises:
        InputError: If the target has no such type, a package is missing, or the file cannot be
            written or is there already.
    """
    target = TARGETS[to]
    if dtype is not None and dtype not in target.dtypes:
        raise InputError(
            f'--to {to} does not compute in {dtype}; expected one of {", ".join(target.dtypes)}'
        )
    for package in target.packages:
        import_optional(package, f'--to {to}')
    if path.suffix != target.ending:
        raise InputError(f'--out {path} has to end in {target.ending}, for --to {to}')
    for file in (*files_of(to, path), report_of(path)):
        if file.exists():
            raise InputError(f'{file} is there already; remove it, or give another name by --out')
    if not path.parent.is_dir():
        raise InputError(f'{path.parent} is not a folder; make it first')
    dtype = dtype or target.dtypes[0]
    if to == 'openvino':
        openvino.check_dtype(dtype)
    if to == 'compile':
        compiled.check_compiler()
    return dtype


def files_of(to: str, path: Path) -> list[Path]:
    """Give all files that a model is exported to: the one that is named, and what belongs to it."""
    return [path, *(path.with_suffix(ending) for ending in TARGETS[to].others)]


def report_of(path: Path) -> Path:
    """Give the name of the report on a file."""
    return path.with_name(f'{path.name}.json')


def deploy(
    model: Model,
    to: str,
    path: Path,
    *,
    dtype: str,
    version: str,
    dynamic: bool = False,
    size: tuple[int, int] | None = None,
    rounds: int = 5,
    validation: Validation | None = None,
) -> dict[str, Any]:
    """Export a model into a file, and look whether the file gives what the model gives.

    Args:
        model: The model, on the CPU.
        to: One of ``TARGETS``.
        path: The file.
        dtype: In which the network computes.
        version: Of mmattn.
        dynamic: Whether images may have any height and width.
        size: Height and width of an image behind the pipeline; None for what the pipeline makes of
            a picture of 512x512.
        rounds: How often the time is measured.
        validation: What gives the metrics of model and file; None for none.

    Returns:
        The report: what the file says of itself, its size, times, differences and metrics.

    Raises:
        InputError: If the model cannot be exported, or the file cannot be written. Nothing is left
            behind then.
    """
    # OpenVINO computes in half precision what is written in float32.
    in_graph = torch.float32 if to == 'openvino' else getattr(torch, dtype)
    graph = graph_of(model, in_graph, folded=TARGETS[to].folded)
    images = [image_for(model, size or _PICTURE, given=size is not None)]
    if dynamic:
        images[0] = _large_enough(model, graph, images[0], given=size is not None)
    _check_graph(model, images[0])
    if validation and not dynamic:
        validation.check_size((images[0].shape[2], images[0].shape[3]))
    if dynamic:
        images.append(image_for(model, _OTHER, given=True))
    described = metadata_of_file.describe(
        model, graph, images[0], version=version, dtype=dtype, dynamic=dynamic
    )
    text = json.dumps(described)
    traced = program.trace(graph, images[0], dynamic=dynamic)
    report: dict[str, Any] = dict(file=path.name, to=to, dynamic=dynamic, metadata=described)

    remedy = 'repeat the command'
    with _stage(path) as stage:
        file = stage / path.name
        _WRITERS[to](traced, graph, text, file)
        # A file that does not run, or gives something else, is none.
        exported = load_exported(file, trusted=True)
        report.update(_try(model, exported, images, rounds))
        if validation:
            report['metrics'] = dict(
                images=len(validation.numbers),
                original=validation.metrics(model),
                exported=validation.metrics(exported),
            )
        files = {path.with_name(each.name): each for each in stage.iterdir()}
        # That which is named comes last: then all is there.
        for target in sorted(files, key=lambda each: each == path):
            write_whole(target, files[target].replace, remedy=remedy)
    report['bytes'] = sum(each.stat().st_size for each in files_of(to, path))
    content = json.dumps(report, indent=2) + '\n'
    write_whole(report_of(path), lambda file: file.write_text(content, 'utf-8'), remedy=remedy)
    return report


@contextmanager
def _stage(path: Path) -> Iterator[Path]:
    """Give a folder beside a file, which is gone in the end.

    Raises:
        InputError: If it cannot be made.
    """
    try:
        stage = tempfile.mkdtemp('.partial', f'{path.name}.', path.parent)
    except OSError as error:
        raise InputError(
            f'{path.parent} cannot be written ({error.strerror}); give another place by --out'
        ) from error
    try:
        yield Path(stage)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _write_program(traced: Any, graph: Graph, text: str, path: Path) -> None:
    program.write(traced, path, text)


def _write_compiled(traced: Any, graph: Graph, text: str, path: Path) -> None:
    compiled.write(traced, path, text)


def _write_onnx(traced: Any, graph: Graph, text: str, path: Path) -> None:
    path.write_bytes(onnx.convert(traced, graph.outputs, text))


def _write_openvino(traced: Any, graph: Graph, text: str, path: Path) -> None:
    openvino.write(onnx.convert(traced, graph.outputs, text), path, text)


_WRITERS: dict[str, Callable[[Any, Graph, str, Path], None]] = {
    'export': _write_program,
    'fold': _write_program,
    'compile': _write_compiled,
    'onnx': _write_onnx,
    'openvino': _write_openvino,
}


def image_for(model: Model, size: tuple[int, int], *, given: bool) -> torch.Tensor:
    """Make an image (1, C, H, W) of soft noise in the type that the pipeline gives.

    Args:
        model: The model.
        size: Height and width.
        given: Whether they are those of the image. Otherwise they are those of a picture, of which
            the pipeline makes the image.
    """
    noise = np.random.default_rng(_SEED)
    coarse = torch.from_numpy(noise.integers(0, 256, (1, 3, 8, 8), np.uint8)).float()
    soft = torch.nn.functional.interpolate(coarse, size, mode='bilinear')
    fine = torch.from_numpy(noise.integers(-20, 21, (1, 3, *size), np.int8))
    picture = (soft + fine).clamp(0, 255).to(torch.uint8)
    prepared = model.prepare([picture[0].permute(1, 2, 0).numpy()])['inputs'][0][None]
    if not given:
        return prepared
    return picture[:, : prepared.shape[1]].to(prepared.dtype)


def _large_enough(model: Model, graph: Graph, image: torch.Tensor, *, given: bool) -> torch.Tensor:
    """Give an image of the size of another, or as large as one for any size has to be.

    Raises:
        InputError: If the size was given and is too small.
    """
    height, width = image.shape[2:]
    if min(height, width) >= graph.least:
        return image
    if given:
        raise InputError(
            f'--shape {height} {width} is too small; with --dynamic this model takes images with '
            f'sides of {graph.least} pixels and more'
        )
    return image_for(model, (max(height, graph.least + 1), max(width, graph.least + 1)), given=True)


def arrays_of_model(model: Model, image: torch.Tensor) -> dict[str, np.ndarray]:
    """Give the arrays of a model for an image (1, C, H, W) behind the pipeline."""
    return model.run(batch_of(model, image))[0]


def batch_of(model: Model, image: torch.Tensor) -> dict[str, list]:
    """Give what ``test_step`` takes, of an image (1, C, H, W) that is its own picture."""
    size = tuple(image.shape[2:])
    picture = np.zeros((*_PICTURE, 3), np.uint8)
    [sample] = model.prepare([picture])['data_samples']
    sizes = dict.fromkeys(('ori_shape', 'img_shape', 'pad_shape'), size)
    sample.set_metainfo(dict(sizes, scale_factor=(1.0, 1.0)))
    return dict(inputs=[image[0]], data_samples=[sample])


def _check_graph(model: Model, image: torch.Tensor) -> None:
    """Check that the graph of a model in float32 gives what the model gives.

    Raises:
        InputError: If not: then the model does what the graph does not know of.
    """
    graph = graph_of(model)
    module: Any = model.module
    with torch.no_grad():
        prepared = module.data_preprocessor(batch_of(model, image), False)['inputs']
        if not torch.equal(prepared, graph.normalize(image)):
            raise InputError(
                f'{type(module.data_preprocessor).__name__} prepares images in a way that cannot '
                'be exported; expected no more than the order of channels, mean, std and padding '
                'to multiples of a number'
            )
        outputs = [output[0].numpy() for output in graph(image)]
    found = dict(zip(graph.outputs, outputs, strict=True))
    size = (image.shape[2], image.shape[3])
    found = arrays_in(model.task, found, size, (1.0, 1.0), graph.mask_threshold)
    difference = differences(model.task, arrays_of_model(model, image), found)
    wrong = {key: value for key, value in difference.items() if value > _ROUNDING[key]}
    if wrong:
        raise InputError(
            f'this {type(module).__name__} predicts in a way that cannot be exported: its graph '
            f'differs by {wrong}; expected a head and a test_cfg as the configs of mmattn have them'
        )


def _try(
    model: Model, exported: Exported, images: list[torch.Tensor], rounds: int
) -> dict[str, Any]:
    """Run a file on images, beside the model."""
    found = []
    for image in images:
        batch = batch_of(model, image)
        found.append(differences(model.task, model.run(batch)[0], exported.run(batch)[0]))
    batch = batch_of(model, images[0])
    forms = dict(original=partial(model.run, batch), exported=partial(exported.run, batch))
    timed = take_turns(forms, rounds=rounds, warm_up=1)
    seconds = {name: each._asdict() for name, each in timed.items()}
    return dict(differences=largest(found), seconds=seconds)
