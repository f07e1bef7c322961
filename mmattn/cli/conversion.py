"""Weights written anew, under the names that they have here."""

import re
from pathlib import Path

import torch
from torch import Tensor, nn

from mmattn.errors import InputError
from mmattn.files.whole_file import write_whole
from mmattn.layers.packages import import_optional
from mmattn.weights.checking import find_receiver
from mmattn.weights.fit import fit_weights
from mmattn.weights.reading import Weights


def rename_weights(weights: Weights) -> dict[str, Tensor]:
    """Give published weights the names that they have in mmattn.

    Args:
        weights: The weights.

    Returns:
        Their tensors; what the layout does not name keeps its name.

    Raises:
        InputError: If their layout is not known.
    """
    if weights.layout is None:
        raise InputError(
            f'{weights.source} is in no layout that is known (its keys are '
            f'{", ".join([*weights.tensors][:3])}, ...); name the model that it is for: '
            '--config CONFIG'
        )
    return {weights.layout.rename(key): value for key, value in weights.tensors.items()}


def rename_weights_for(model: nn.Module, weights: Weights) -> dict[str, Tensor]:
    """Give weights the names that they have in a model or, if they are for that, its backbone.

    Args:
        model: The model.
        weights: The weights, by their published names.

    Returns:
        Their tensors; those that the model does not have keep their names.

    Raises:
        InputError: If they are those of another network.
    """
    fit = fit_weights(weights, model.get_submodule(find_receiver(model, weights)))
    fit.refuse_or_report()
    taken = {tensor.data_ptr() for tensor in fit.tensors.values()}
    others = {k: v for k, v in weights.tensors.items() if v.data_ptr() not in taken}
    return {**fit.tensors, **others}


def whole_model(weights: Weights) -> dict[str, Tensor]:
    """Give the weights of a network the names that they have in a whole model of OpenMMLab.

    Args:
        weights: A whole model, or a published classifier: a backbone, and a linear layer.

    Returns:
        Their tensors. Of a classifier, the layer is that of a head with one.
    """
    tensors = rename_weights(weights)
    if any(key.startswith('backbone.') for key in tensors):
        return tensors
    classifier = re.compile(r'^(?:head|fc|classifier(?:\.1)?)\.(weight|bias)$')
    names = {key: classifier.sub(r'head.fc.\1', key) for key in tensors}
    return {name if name != key else f'backbone.{key}': tensors[key] for key, name in names.items()}


def check_output(path: Path) -> None:
    """Check that a file can be written.

    Raises:
        InputError: If it is there already, has no folder, or its name tells no format.
    """
    if path.suffix not in ('.pth', '.safetensors'):
        raise InputError(f'{path} has to end in .pth or .safetensors')
    if path.exists():
        raise InputError(f'{path} is there already; remove it or give another name')
    if not path.parent.is_dir():
        raise InputError(f'{path.parent} is not a folder; make it first')


def write_weights(state_dict: dict[str, Tensor], path: Path) -> None:
    """Write weights as a whole or not at all, in the format of the name.

    Args:
        state_dict: The weights.
        path: File to write: ``.pth`` or ``.safetensors``.

    Raises:
        InputError: If it cannot be written.
    """
    # A view would be written with all that it is a view of, and safetensors refuses it.
    state_dict = {key: value.clone().contiguous() for key, value in state_dict.items()}
    if path.suffix == '.safetensors':
        save_file = import_optional('safetensors.torch', path).save_file
        write_whole(path, lambda partial: save_file(state_dict, partial), lambda: state_dict)
    else:
        write_whole(path, lambda partial: _save(state_dict, partial), lambda: state_dict)


def _save(state_dict: dict[str, Tensor], path: Path) -> None:
    # PyTorch reports what it cannot write only where Python writes it.
    with path.open('wb') as file:
        torch.save({'state_dict': state_dict}, file)
