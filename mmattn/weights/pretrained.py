"""Public weights on this disk: looked for, and downloaded once for all who share it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from mmengine.logging import print_log
from torch import nn

from mmattn.errors import InputError
from mmattn.files.lock import in_turn
from mmattn.weights.catalogue import SCHEME, Entry, Source, entry_of
from mmattn.weights.download import DownloadError, download, find_silent, fits
from mmattn.weights.hub import download_of_hub, find_of_hub, url_of
from mmattn.weights.places import cache, find_in_folder, named_folder


def find(name: str) -> Path | None:
    """Look for weights on the disk: in ``MMATTN_PRETRAINED_DIR``, then in the usual caches.

    Args:
        name: Name in the catalogue, or ``mmattn://NAME``.

    Returns:
        The file, if it is there.

    Raises:
        InputError: If there is no such name, or a file of the folder is another one.
    """
    return _find(entry_of(name))


def get(name: str) -> Path:
    """Give the file of weights; if it is not on the disk, it is downloaded.

    Several processes download it once.

    Args:
        name: Name in the catalogue, or ``mmattn://NAME``.

    Returns:
        The file.

    Raises:
        InputError: If it cannot be had. The message says where to put it.
    """
    entry = entry_of(name)
    name = name.removeprefix(SCHEME)
    path = _find(entry)
    if path is not None:
        return path
    folder = named_folder() or cache()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f'{folder} cannot be made ({error.strerror})') from error

    def wait() -> None:
        print_log(f'{SCHEME}{name} is being downloaded by another process', 'current')

    with in_turn(folder / f'.{name}.lock', wait):
        # By another process, while this one waited.
        path = _find(entry)
        return path or _download(name, entry, folder)


def leave_out(model: nn.Module) -> None:
    """Let a model be initialized without the weights of the catalogue that its parts name."""
    part: Any
    for part in model.modules():
        cfgs = getattr(part, 'init_cfg', None)
        if isinstance(cfgs, list):
            part.init_cfg = [cfg for cfg in cfgs if not is_of_catalogue(cfg)]
        elif is_of_catalogue(cfgs):
            part.init_cfg = None


def is_of_catalogue(init_cfg: Any) -> bool:
    """Tell whether an ``init_cfg`` names weights of the catalogue."""
    if not isinstance(init_cfg, dict):
        return False
    return str(init_cfg.get('checkpoint', '')).startswith(SCHEME)


def _find(entry: Entry) -> Path | None:
    for source in entry.sources:
        path = find_in_folder(source.file)
        if path is not None and not fits(path, source.check_sum):
            raise InputError(
                f'{path} is damaged or another file: its SHA-256 does not begin with '
                f'{source.check_sum}; download {source.address} again'
            )
        if path is not None:
            return path
    return next((path for source in entry.sources for path in _cached(source)), None)


def _cached(source: Source) -> Iterator[Path]:
    if source.is_on_hub:
        path = find_of_hub(*source.place, named_folder())
        if path is not None:
            yield path
    path = cache() / source.file
    # What is damaged there is downloaded anew.
    if path.is_file() and fits(path, source.check_sum):
        yield path


def _download(name: str, entry: Entry, folder: Path) -> Path:
    reasons: dict[str, list[str]] = {}
    urls = {url_of_source(source): source for source in entry.sources}
    silent = find_silent(urls)
    for url, source in urls.items():
        try:
            if url in silent:
                raise DownloadError(silent[url])
            path = _fetch(source, folder)
        except DownloadError as error:
            reasons.setdefault(str(error), []).append(urlparse(url).netloc)
            continue
        if reasons:
            print_log(f'{SCHEME}{name} is {path}; passed over: {_tell(reasons)}', 'current')
        return path
    file, here = entry.sources[0].file, str(cache())
    if str(folder) == here:
        remedy = f'put {file} there, or into a folder that MMATTN_PRETRAINED_DIR names'
    else:
        here, remedy = f'{folder} or {here}', f'put {file} into {folder}'
    raise InputError(
        f'{SCHEME}{name} is not in {here} and cannot be downloaded ({_tell(reasons)}): {remedy} '
        f'(mmattn weights list {name} has its addresses)'
    )


def _tell(reasons: dict[str, list[str]]) -> str:
    """Say which hosts did not give a file, and why."""
    return '; '.join(f'{", ".join(hosts)}: {reason}' for reason, hosts in reasons.items())


def url_of_source(source: Source) -> str:
    """Give the address of a file, as a browser takes it."""
    return url_of(*source.place) if source.is_on_hub else source.address


def _fetch(source: Source, folder: Path) -> Path:
    if source.is_on_hub:
        return download_of_hub(*source.place, named_folder())
    path = folder / source.file
    download(source.address, path, source.check_sum)
    return path
