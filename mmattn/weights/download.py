"""A file of the network: gone on with after a break, checked, and there only when it is whole."""

import hashlib
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from threading import Thread
from typing import Any, BinaryIO
from urllib.error import HTTPError, URLError
from urllib.request import HTTPHandler, HTTPSHandler, Request, build_opener

from mmengine.logging import print_log
from rich.console import Console
from rich.progress import DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

from mmattn.errors import InputError
from mmattn.files.whole_file import write_whole
from mmattn.weights.other_files import refuse_other_files

# Seconds that a host has to take a connection, and to be found.
CONNECTION = 4
# Seconds that a host may be silent after that.
SILENCE = 20
# How often a file is gone on with after a break.
BREAKS = 5
_BLOCK = 2**18


class DownloadError(InputError):
    """A file cannot be had from an address: the message is the reason alone."""


def download(url: str, path: Path, check_sum: str = '') -> None:
    """Download a file.

    What has come before a break stays beside it as ``NAME.*.incomplete``, and is gone on with.

    Args:
        url: Its address, ``http`` or ``https``.
        path: Where it is to be; its folder is there. Of processes that share it, one may do this.
        check_sum: SHA-256 of the file, or how it begins; nothing if it is not known.

    Raises:
        DownloadError: If the file cannot be had from there, or another one came.
        InputError: If it cannot be written.
    """
    goes_on = bool(_parts(path))
    for left in reversed(range(BREAKS)):
        try:
            part = _fetch(url, path, check_sum)
            break
        except HTTPError as error:
            raise DownloadError(f'{error.code} {error.reason}') from error
        except _Break as error:
            # Nothing came: it will not be better at once.
            if not left or not error.progress:
                raise DownloadError(str(error)) from error
    try:
        _check(part, path.name, check_sum)
    except DownloadError:
        part.unlink()
        if not goes_on:
            raise
        # What was there of it may have been damaged.
        download(url, path, check_sum)
        return
    write_whole(path, part.replace)


def find_silent(urls: Iterable[str]) -> dict[str, str]:
    """Find out at once which of several hosts do not answer, so that nobody waits for each.

    Args:
        urls: Addresses.

    Returns:
        Those whose host does not answer, whatever it would say, and why.
    """
    reasons = dict.fromkeys(urls, 'no answer')
    deadline = time.monotonic() + CONNECTION
    # A name server that is cut off keeps a thread for longer than any limit of a connection.
    threads = [Thread(target=_ask, args=(url, reasons), daemon=True) for url in reasons]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return {url: reason for url, reason in list(reasons.items()) if reason}


def _ask(url: str, reasons: dict[str, str]) -> None:
    try:
        _open(Request(url, method='HEAD')).close()
        reasons[url] = ''
    except HTTPError:
        reasons[url] = ''
    except (OSError, HTTPException, ValueError) as error:
        reasons[url] = _reason(error)


def fits(path: Path, check_sum: str) -> bool:
    """Tell whether the SHA-256 of a file begins with these digits, if there are any."""
    if not check_sum:
        return True
    content = hashlib.sha256()
    with path.open('rb') as file:
        while block := file.read(2**20):
            content.update(block)
    return content.hexdigest().startswith(check_sum)


class _Break(Exception):
    """A connection broke.

    Args:
        error: How.
        progress: Whether anything had come.
    """

    def __init__(self, error: Exception, progress: bool) -> None:
        super().__init__(_reason(error))
        self.progress = progress


def _fetch(url: str, path: Path, check_sum: str) -> Path:
    """Fetch what is left of a file.

    Returns:
        Where it is when all has come.
    """
    parts = _parts(path)
    start = parts[0].stat().st_size if parts else 0
    headers = {'User-Agent': 'mmattn', 'Accept-Encoding': 'identity'}
    if start:
        headers['Range'] = f'bytes={start}-'
    try:
        answer = _open(Request(url, headers=headers))
    except HTTPError as error:
        if start and error.code == 416:
            return _fetch_anew(parts, url, path, check_sum)
        raise
    except (OSError, HTTPException) as error:
        raise _Break(error, False) from error
    with answer:
        part = path.with_name(f'{path.name}.{_version(url, answer, check_sum)}.incomplete')
        if answer.status != 206:
            start = 0
        elif start and (part != parts[0] or not _begins_at(answer, start)):
            # It is another file by now.
            return _fetch_anew(parts, url, path, check_sum)
        for other in parts:
            if other != part:
                other.unlink()
        print_log(f'{url} is downloaded to {path}', 'current')
        size = _size(answer, start)
        with _opened(part, start) as file:
            for block in _blocks(answer, path.name, start, size):
                _write(file, block)
        _compare(part.stat().st_size, size, start)
    return part


def _parts(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f'{path.name}.*.incomplete'))


def _fetch_anew(parts: list[Path], url: str, path: Path, check_sum: str) -> Path:
    for part in parts:
        part.unlink()
    return _fetch(url, path, check_sum)


def _open(request: Request) -> HTTPResponse:
    return build_opener(_Http, _Https).open(request, timeout=CONNECTION)


class _Patient:
    """A connection that is given up early until it is made, and late from then on."""

    sock: Any

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]  # that of http.client
        self.sock.settimeout(SILENCE)


class _HttpConnection(_Patient, HTTPConnection):
    pass


class _HttpsConnection(_Patient, HTTPSConnection):
    pass


class _Http(HTTPHandler):
    def http_open(self, request: Request) -> HTTPResponse:
        return self.do_open(_HttpConnection, request)


class _Https(HTTPSHandler):
    def https_open(self, request: Request) -> HTTPResponse:
        return self.do_open(_HttpsConnection, request)


def _version(url: str, answer: HTTPResponse, check_sum: str) -> str:
    """Name the version of a file that an address has, so that no two are put together."""
    headers = answer.headers
    # Without any of them, none can be gone on with.
    mark = check_sum or headers['ETag'] or headers['Last-Modified'] or str(time.time_ns())
    return hashlib.sha256(f'{url} {mark}'.encode()).hexdigest()[:8]


def _begins_at(answer: HTTPResponse, start: int) -> bool:
    return (answer.headers['Content-Range'] or '').startswith(f'bytes {start}-')


def _size(answer: HTTPResponse, start: int) -> int | None:
    """Give the size of the whole file in bytes, if the host says it."""
    length = answer.headers['Content-Length'] or ''
    return start + int(length) if re.fullmatch('[0-9]{1,15}', length) else None


def _blocks(answer: HTTPResponse, name: str, start: int, size: int | None) -> Iterator[bytes]:
    """Give what comes, and show how much has."""
    columns = (*Progress.get_default_columns()[:2], DownloadColumn(), TransferSpeedColumn())
    with Progress(
        *columns,
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    ) as progress:
        task = progress.add_task(name, total=size, completed=start)
        came = False
        while True:
            try:
                block = answer.read1(_BLOCK)
            except (OSError, HTTPException) as error:
                raise _Break(error, came) from error
            if not block:
                return
            came = True
            progress.advance(task, len(block))
            yield block


def _compare(size: int, expected: int | None, start: int) -> None:
    if expected is not None and size < expected:
        error = ConnectionError(f'broke off after {size} of {expected} bytes')
        raise _Break(error, size > start)


def _opened(part: Path, start: int) -> BinaryIO:
    # A link of that name is not followed.
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | (os.O_APPEND if start else os.O_TRUNC)
    try:
        return os.fdopen(os.open(part, flags, 0o600), 'wb')
    except OSError as error:
        raise _unwritten(part, error) from error


def _write(file: BinaryIO, block: bytes) -> None:
    try:
        file.write(block)
        file.flush()
    except OSError as error:
        raise _unwritten(Path(str(file.name)), error) from error


def _unwritten(path: Path, error: OSError) -> InputError:
    return InputError(
        f'{path} cannot be written ({error.strerror}); make room, or name another folder in '
        'MMATTN_PRETRAINED_DIR'
    )


def _check(part: Path, name: str, check_sum: str) -> None:
    """Check that what came is the file, or at least no page about it."""
    if not fits(part, check_sum):
        raise DownloadError(f'sent another file (its SHA-256 does not begin with {check_sum})')
    try:
        with part.open('rb') as file:
            refuse_other_files(file, name)
    except InputError as error:
        raise DownloadError(f'sent another file ({error})') from error


def _reason(error: Exception) -> str:
    if isinstance(error, URLError) and isinstance(error.reason, Exception):
        error = error.reason
    if isinstance(error, TimeoutError):
        return 'no answer'
    text = getattr(error, 'strerror', None) or str(error) or type(error).__name__
    return text.splitlines()[0]
