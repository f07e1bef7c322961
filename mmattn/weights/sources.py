"""Where weights come from: a file, or an address that is looked up on the disk first.

Who imports mmattn into a script of another package reads as that package does. A process that has
called :func:`refuse_code_in_checkpoints`, as the runner of mmattn and the tools do, reads all
checkpoints as data, wherever they come from.
"""

import functools
import hashlib
import io
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import unquote, urlparse

import torch
from mmengine.dist import barrier, is_main_process
from mmengine.fileio import get_file_backend
from mmengine.logging import print_log
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader

from mmattn.errors import InputError
from mmattn.files.lock import in_turn
from mmattn.weights import pretrained
from mmattn.weights.catalogue import SCHEME
from mmattn.weights.download import DownloadError, download, fits
from mmattn.weights.files import read_checkpoint, read_stream
from mmattn.weights.places import cache, find_in_folder
from mmattn.weights.state_dicts import lay_open

Loader = Callable[..., dict]

# What has been said of this process: 'data', 'code', or nothing.
_reads = ''


def trust_checkpoints(trusted: bool = True) -> None:
    """Say whether this process may run code that is in checkpoints, as mmengine does.

    Args:
        trusted: Whether it may. If not, all checkpoints are read as data, whoever reads them and
            from wherever: a checkpoint is a pickle, and a pickle can run anything.
    """
    register_sources()
    global _reads
    _reads = 'code' if trusted else 'data'
    # For those that call torch.load themselves.
    os.environ['TORCH_FORCE_WEIGHTS_ONLY_LOAD'] = '0' if trusted else '1'


@contextmanager
def reading_as(trusted: bool) -> Iterator[None]:
    """Say the same for what the body reads, and leave the process as it is."""
    global _reads
    switch = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'
    said, former = _reads, os.environ.get(switch)
    trust_checkpoints(trusted)
    try:
        yield
    finally:
        _reads = said
        if former is None:
            del os.environ[switch]
        else:
            os.environ[switch] = former


def refuse_code_in_checkpoints() -> None:
    """Let mmengine read the checkpoints of this process as data, unless it trusts them already."""
    register_sources()
    global _reads
    _reads = _reads or 'data'


def _reads_itself() -> bool:
    """Tell whether checkpoints are read here, as data or as code, and not by mmengine."""
    # Before anything is said, PyTorch's own switch counts, which mmengine does not always follow.
    switch = os.environ.get('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '0')
    return bool(_reads) or switch in ('1', 'y', 'yes', 'true')


def _read(path: str | Path) -> dict:
    return read_checkpoint(path, run_code=_reads == 'code')


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


def fetch(url: str) -> Path:
    """Give the file of an address: from PyTorch's cache, or downloaded into it.

    A file whose name ends in its check sum is shared with all who use that cache, if the sum fits.
    Another file is kept by its whole address, since two hosts may have files of one name.

    Raises:
        DownloadError: If it cannot be had.
    """
    name = unquote(Path(urlparse(url).path).name)
    shared, check_sum = cache() / name, torch.hub.HASH_REGEX.search(name)
    if check_sum and len(check_sum[1]) >= 8 and shared.is_file() and fits(shared, check_sum[1]):
        return shared
    path = cache() / hashlib.sha256(url.encode()).hexdigest()[:16] / name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with in_turn(path.with_name('.lock'), lambda: print_log(f'waiting for {url}', 'current')):
            if not path.is_file():
                download(url, path)
    return path


def _read_address(url: str) -> dict:
    if '://' not in url:  # mmengine's own list may name a file of its folder
        return _read(Path(mmengine_checkpoint._get_mmengine_home(), url))
    if is_main_process():
        fetch(url)
    barrier()
    return _read(fetch(url))


def _read_published(address: str) -> dict:
    """Read weights of the catalogue, which are on the disk unless nobody has asked for them yet."""
    if is_main_process():
        pretrained.get(address)
    barrier()
    return _read(pretrained.get(address))


def _read_stored(address: str) -> dict:
    """Read from a storage that has a client of its own."""
    if address.startswith('pavi://'):
        model = import_module('pavi').modelcloud.get(address.removeprefix('pavi://'))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, 'model.pth')
            model.download(str(path))
            return _read(path)
    backend = get_file_backend(address, backend_args=dict(backend='petrel'))
    return read_stream(io.BytesIO(backend.get(address)), address, run_code=_reads == 'code')


def _looking_here_first(load: Loader) -> Loader:
    """Let the loader of a scheme look into the folder, and explain a dead address."""

    @functools.wraps(load)
    def load_from(filename: str, map_location=None) -> dict:
        url = find_url(filename)
        name = unquote(Path(urlparse(url).path).name)
        path = find_in_folder(name)
        try:
            if path is not None:
                print_log(f'{filename} is read from {path}', logger='current')
                checkpoint = CheckpointLoader.load_checkpoint(str(path), map_location)
            elif _reads_itself():
                checkpoint = _read_address(url)
            else:
                checkpoint = load(filename, map_location=map_location)
        except (URLError, ConnectionError, TimeoutError, DownloadError) as error:
            folder = os.environ.get('MMATTN_PRETRAINED_DIR')
            raise InputError(
                f'{url} cannot be reached ({getattr(error, "reason", error)}): download it '
                f'elsewhere and put it into '
                f'{folder or "a folder named by MMATTN_PRETRAINED_DIR"} as {name}'
            ) from error
        if filename.startswith('mmcls://') and (path is not None or _reads_itself()):
            checkpoint = mmengine_checkpoint._process_mmcls_checkpoint(checkpoint)
        _hand_over(filename, checkpoint)
        return checkpoint

    return load_from


def _reading_as_told(load: Loader, read: Callable[[str], dict]) -> Loader:
    """Let a loader read as it was told, and safetensors and MXNet's files in any case."""

    @functools.wraps(load)
    def load_from(filename: str, map_location=None) -> dict:
        if _reads_itself() or filename.endswith(('.safetensors', '.params')):
            checkpoint = read(filename)
        else:
            checkpoint = load(filename, map_location)
        _hand_over(filename, checkpoint)
        return checkpoint

    return load_from


@CheckpointLoader.register_scheme(prefixes=SCHEME)
def load_from_catalogue(filename: str, map_location=None) -> dict:
    """Load weights of the catalogue by their name there, on the CPU."""
    checkpoint = _read_published(filename)
    _hand_over(filename, checkpoint)
    return checkpoint


_listener: ContextVar[Callable[[str, dict], None] | None] = ContextVar('listener', default=None)


@contextmanager
def telling(listener: Callable[[str, dict], None]) -> Iterator[None]:
    """Tell somebody of each checkpoint that the body reads, whoever asks for it."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def _hand_over(filename: str, checkpoint: Any) -> None:
    if not isinstance(checkpoint, dict):
        return
    lay_open(checkpoint)
    listener = _listener.get()
    if listener is not None:
        listener(filename, checkpoint)


@functools.cache
def register_sources() -> None:
    """Register the loaders above in the place of mmengine's, which they call; once."""
    for scheme, load in list(CheckpointLoader._schemes.items()):
        if scheme == SCHEME:
            continue
        if scheme.partition(':')[0] in _ADDRESSES:
            loader = _looking_here_first(load)
        else:
            loader = _reading_as_told(load, _read if scheme == '' else _read_stored)
        CheckpointLoader.register_scheme(scheme, loader, force=True)


_ADDRESSES = ('http', 'https', 'torchvision', 'modelzoo', 'open-mmlab', 'openmmlab', 'mmcls')
