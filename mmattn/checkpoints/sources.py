"""Where weights come from: a file, or an address that is looked up on the disk first."""

import os
from collections.abc import Callable
from difflib import get_close_matches
from functools import wraps
from pathlib import Path
from urllib.error import URLError
from urllib.parse import unquote, urlparse

from mmengine.logging import print_log
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader

from mmattn.checkpoints.account import note_read
from mmattn.checkpoints.files import read_checkpoint
from mmattn.errors import InputError

Loader = Callable[..., dict]


def find_url(address: str) -> str:
    """Give the network address that a name such as ``torchvision://resnet50`` stands for.

    Raises:
        InputError: If there are no weights of this name.
    """
    scheme, name = address.split('://', 1)
    if scheme in ('http', 'https'):
        return address
    if scheme in ('torchvision', 'modelzoo'):
        urls = mmengine_checkpoint.get_torchvision_models()
    elif scheme == 'mmcls':
        urls = mmengine_checkpoint.get_mmcls_models()
    else:
        urls = mmengine_checkpoint.get_external_models()
        name = mmengine_checkpoint.get_deprecated_model_names().get(name, name)
    if name not in urls:
        near = ', '.join(get_close_matches(name, urls)) or 'none of a similar name'
        raise InputError(f'{address} is not known; there are: {near}')
    return urls[name]


def find_in_folder(name: str) -> Path | None:
    """Look for a file in the folder that ``MMATTN_PRETRAINED_DIR`` names.

    Raises:
        InputError: If the variable names no folder.
    """
    folder = os.environ.get('MMATTN_PRETRAINED_DIR')
    if not folder:
        return None
    if not Path(folder).expanduser().is_dir():
        raise InputError(f'MMATTN_PRETRAINED_DIR={folder} is not a folder; make it or unset it')
    path = Path(folder).expanduser() / name
    return path if path.is_file() else None


def _looking_here_first(load: Loader) -> Loader:
    """Let the loader of a scheme look into the folder, and explain a dead address."""

    @wraps(load)
    def load_from(filename: str, map_location=None) -> dict:
        url = find_url(filename)
        name = unquote(Path(urlparse(url).path).name)
        path = find_in_folder(name)
        if path is not None:
            print_log(f'{filename} is read from {path}', logger='current')
            checkpoint = CheckpointLoader.load_checkpoint(str(path), map_location)
            if filename.startswith('mmcls://'):
                checkpoint = mmengine_checkpoint._process_mmcls_checkpoint(checkpoint)
        else:
            try:
                checkpoint = load(filename, map_location=map_location)
            except (URLError, ConnectionError, TimeoutError) as error:
                folder = os.environ.get('MMATTN_PRETRAINED_DIR')
                raise InputError(
                    f'{url} cannot be reached ({getattr(error, "reason", error)}): download it '
                    f'elsewhere and put it into '
                    f'{folder or "a folder named by MMATTN_PRETRAINED_DIR"} as {name}'
                ) from error
        note_read(filename, checkpoint)
        return checkpoint

    return load_from


def _reading_as_told(load: Loader) -> Loader:
    """Let the loader of files read safetensors, and read as data where that is asked for."""

    @wraps(load)
    def load_from_local(filename: str, map_location=None) -> dict:
        as_data = os.environ.get('TORCH_FORCE_WEIGHTS_ONLY_LOAD') == '1'
        if as_data or filename.endswith('.safetensors'):
            checkpoint = read_checkpoint(filename, map_location)
        else:
            checkpoint = load(filename, map_location)
        if isinstance(checkpoint, dict) and isinstance(checkpoint.get('model'), dict):
            # mmengine looks under one name only.
            checkpoint.setdefault('state_dict', checkpoint['model'])
        note_read(filename, checkpoint)
        return checkpoint

    return load_from_local


def register_sources() -> None:
    """Register the loaders above in the place of mmengine's, which they call."""
    for scheme, load in list(CheckpointLoader._schemes.items()):
        if scheme.partition(':')[0] in _ADDRESSES:
            CheckpointLoader.register_scheme(scheme, _looking_here_first(load), force=True)
    local = CheckpointLoader._schemes['']
    CheckpointLoader.register_scheme('', _reading_as_told(local), force=True)


_ADDRESSES = ('http', 'https', 'torchvision', 'modelzoo', 'open-mmlab', 'openmmlab', 'mmcls')
