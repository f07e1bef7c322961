"""Files of the Hugging Face hub, by its own package and in its own cache."""

import os
from pathlib import Path

from mmengine.logging import print_log

from mmattn.layers.packages import MissingPackage, import_optional
from mmattn.weights.download import DownloadError, fits

_USER = 'the Hugging Face hub'
# Seconds that the hub has for an answer.
_PATIENCE = 4


def url_of(repository: str, file: str) -> str:
    """Give the address of a file of the hub; it needs no package."""
    endpoint = os.environ.get('HF_ENDPOINT') or 'https://huggingface.co'
    return f'{endpoint}/{repository}/resolve/main/{file}'


def find_of_hub(repository: str, file: str, folder: Path | None) -> Path | None:
    """Look for a file of the hub on the disk.

    Args:
        repository: ``OWNER/NAME``.
        file: Name of the file there.
        folder: Cache to look in; None for that of the package.

    Returns:
        The file; None if it is not there, or there is no package to know.
    """
    try:
        hub = import_optional('huggingface_hub', _USER)
    except MissingPackage:
        return None
    path = hub.try_to_load_from_cache(repository, file, cache_dir=folder)
    return Path(path) if isinstance(path, str) else None


def download_of_hub(repository: str, file: str, folder: Path | None) -> Path:
    """Download a file of the hub, going on with what there is of it.

    Where there is no network, the package asks for half a minute: see before that it answers.

    Args:
        repository: ``OWNER/NAME``.
        file: Name of the file there.
        folder: Cache to put it into; None for that of the package.

    Returns:
        The file.

    Raises:
        DownloadError: If it cannot be had, is not what the hub says it is, or the package is
            missing.
    """
    try:
        hub = import_optional('huggingface_hub', _USER)
    except MissingPackage as error:
        raise DownloadError('pip install huggingface_hub') from error
    if hub.constants.HF_HUB_OFFLINE:
        raise DownloadError('HF_HUB_OFFLINE is set')
    print_log(f'{url_of(repository, file)} is downloaded', 'current')
    try:
        path = hub.hf_hub_download(repository, file, cache_dir=folder, etag_timeout=_PATIENCE)
    # Each generation of the package has errors of its own, and those of what it is built on.
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise DownloadError(reason[0]) from error
    content = Path(path).resolve()
    # The cache calls a large file by its SHA-256.
    if len(content.name) == 64 and not fits(content, content.name):
        content.unlink()
        raise DownloadError(f'sent another file (its SHA-256 is not {content.name})')
    return Path(path)
