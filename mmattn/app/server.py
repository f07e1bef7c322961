"""Who may see the page, and for how long it is there."""

import ipaddress
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmattn.app.page import MOST_BYTES, theme
from mmattn.errors import InputError


def serve(page: Any, host: str, port: int) -> None:
    """Show a page until Ctrl-C or SIGTERM.

    Args:
        page: A :class:`gradio.Blocks`.
        host: Address to listen on.
        port: Port to listen on.

    Raises:
        InputError: If the port is taken, or the address is not of this machine.
    """
    with served(page, host, port) as address:
        print(f'the page is at {address} (Ctrl-C ends it)', flush=True)
        if not _is_loopback(host):
            print('everybody who reaches this machine can use it', flush=True)
        # How a page ends, whoever says so.
        former = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print('the page is closed')
        finally:
            signal.signal(signal.SIGTERM, former)


@contextmanager
def uploads_elsewhere() -> Iterator[None]:
    """Keep uploads in a folder of this process, which goes with it.

    gradio asks where they lie when it is imported, and again when a page is made.
    """
    former = os.environ.get('GRADIO_TEMP_DIR')
    folder = tempfile.mkdtemp(prefix='mmattn-app-')
    os.environ['GRADIO_TEMP_DIR'] = folder
    try:
        yield
    finally:
        if former is None:
            del os.environ['GRADIO_TEMP_DIR']
        else:
            os.environ['GRADIO_TEMP_DIR'] = former
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def served(page: Any, host: str, port: int) -> Iterator[str]:
    """Serve a page while the body runs.

    Yields:
        Its address.

    Raises:
        InputError: If the port is taken, or the address is not of this machine.
    """
    _check_port(host, port)
    try:
        *_, address, _ = page.launch(
            **dict(server_name=host, server_port=port, share=False, inbrowser=False, quiet=True),
            **dict(prevent_thread_lock=True, ssr_mode=False, mcp_server=False, pwa=False),
            **dict(max_file_size=MOST_BYTES, footer_links=[], theme=theme()),
        )
    except OSError as error:
        raise InputError(f'the page cannot be served on {host}:{port} ({error})') from error
    try:
        yield address.rstrip('/')
    finally:
        page.close(verbose=False)


def _check_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    with socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except socket.gaierror as error:
            raise InputError(f'--host {host} is no address ({error.strerror})') from error
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError(
                f'{host}:{port} cannot be listened on ({reason}); give another --port or --host'
            ) from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == 'localhost'
