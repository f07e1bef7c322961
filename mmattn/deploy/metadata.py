"""What an exported file says of itself: how to feed it, and how to read what it gives."""

import json
import re
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import TRANSFORMS

from mmattn.deploy.graph import Graph
from mmattn.errors import InputError
from mmattn.prediction.model import Model, Predictor, read_pipeline

# What a side of an image may have where any size is taken.
MOST = 8192

# Under which a file has it.
KEY = 'mmattn'
INPUT = 'image'
_FORMAT = 1

_SCOPES = ('mmengine', 'mmcv', 'mmseg', 'mmdet', 'mmpretrain', 'mmattn')
_NAME = re.compile(rf'(?:(?:{"|".join(_SCOPES)})\.)?[A-Za-z_]\w*')


def describe(
    model: Model, graph: Graph, image: torch.Tensor, *, version: str, dtype: str, dynamic: bool
) -> dict[str, Any]:
    """Say what a file that a model is exported to has to say.

    Args:
        model: The model.
        graph: Its graph.
        image: An image (1, C, H, W) as the graph takes it.
        version: Of mmattn.
        dtype: In which the network computes.
        dynamic: Whether images may have any height and width.

    Raises:
        InputError: If the pipeline of the test cannot be written down.
    """
    loader, steps = read_pipeline(model.cfg)
    visualizer = dict(model.cfg.get('visualizer') or {})
    # They are places to write to.
    visualizer.pop('vis_backends', None)
    metadata = dict(
        format=_FORMAT,
        mmattn=version,
        torch=torch.__version__,
        config=Path(model.cfg.filename).name if model.cfg.filename else None,
        task=model.task,
        classes=list(model.classes),
        palette=[list(colour) for colour in model.palette],
        reduce_zero_label=model.reduce_zero_label,
        dtype=dtype,
        input=_describe_input(graph, image, dynamic),
        outputs=list(graph.outputs),
        scope=model.cfg.get('default_scope'),
        pipeline=[loader, *steps],
        visualizer=visualizer,
    )
    if graph.mask_threshold is not None:
        metadata['mask_threshold'] = graph.mask_threshold
    try:
        text = json.dumps(metadata, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(
            f'the test pipeline of {model.cfg.filename} cannot be written down ({error}); expected '
            'names, numbers and lists of them'
        ) from error
    return json.loads(text)


def _describe_input(graph: Graph, image: torch.Tensor, dynamic: bool) -> dict[str, Any]:
    normalize = graph.normalize
    _, channels, height, width = image.shape
    swaps = normalize.swaps
    described: dict[str, Any] = dict(
        name=INPUT,
        shape=[1, channels, None if dynamic else height, None if dynamic else width],
        dtype=str(image.dtype).removeprefix('torch.'),
        values='0 to 255, after the pipeline; the file itself normalizes and pads',
        channels='as the pipeline gives them: BGR, as OpenCV reads' if channels == 3 else 'gray',
        swaps_channels=swaps,
        pads_to_multiples_of=normalize.divisor,
    )
    if dynamic:
        described['sides'] = [graph.least, MOST]
    if normalize.normalizes:
        for name in ('mean', 'std'):
            described[name] = getattr(normalize, name).flatten().tolist()
    return described


def read(text: str | None, path: str) -> dict[str, Any]:
    """Read what a file says of itself.

    Args:
        text: As the file has it; None if it has nothing.
        path: Name of the file, for messages.

    Raises:
        InputError: If it is not of a file that mmattn exported, or of another version of it.
    """
    try:
        metadata = json.loads(text or '')
        version = metadata['format']
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f'{path} does not say what it is; expected a file that mmattn deploy wrote'
        ) from error
    if version != _FORMAT:
        raise InputError(
            f'{path} was written by mmattn {metadata.get("mmattn")}, whose files have format '
            f'{version}, and this one reads {_FORMAT}; deploy the model again'
        )
    return metadata


class Described(Predictor):
    """What looks at pictures as the metadata of a file say.

    Args:
        metadata: What the file says of itself.
        path: Name of the file, for messages.

    Raises:
        InputError: If its pipeline names what is no transform of a data set.
    """

    def __init__(self, metadata: dict[str, Any], path: str) -> None:
        steps = _as_tuples(metadata['pipeline'])
        _check_transforms(steps, metadata['scope'], path)
        cfg = Config(
            dict(
                default_scope=metadata['scope'],
                test_dataloader=dict(dataset=dict(pipeline=steps)),
                visualizer=metadata['visualizer'],
            )
        )
        metainfo = dict(
            classes=tuple(metadata['classes']),
            palette=tuple(tuple(colour) for colour in metadata['palette']),
            reduce_zero_label=metadata['reduce_zero_label'],
        )
        super().__init__(metadata['task'], cfg, metainfo)
        self.path = path
        self.metadata = metadata


def _as_tuples(node: Any) -> Any:
    """Give lists of numbers as tuples, which JSON does not have and transforms ask for."""
    if isinstance(node, dict):
        return {key: _as_tuples(value) for key, value in node.items()}
    if isinstance(node, list):
        items = [_as_tuples(item) for item in node]
        return tuple(items) if all(isinstance(item, int | float) for item in items) else items
    return node


def _check_transforms(steps: Any, scope: str, path: str) -> None:
    """Check that a file names transforms only, and nothing that a registry would import.

    Raises:
        InputError: If not.
    """
    if isinstance(steps, list):
        for step in steps:
            _check_transforms(step, scope, path)
    if not isinstance(steps, dict):
        return
    for key, value in steps.items():
        if key != 'type':
            _check_transforms(value, scope, path)
            continue
        # A name with a module in it would be imported from there.
        known = isinstance(value, str) and _NAME.fullmatch(value)
        with TRANSFORMS.switch_scope_and_registry(scope if scope in _SCOPES else None) as registry:
            if not known or not isinstance(registry.get(value), type):
                raise InputError(
                    f'{path} prepares images by {value!r}, which is no transform that is known '
                    'here; deploy the model where it is, or import what has it'
                )
