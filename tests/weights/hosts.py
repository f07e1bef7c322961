"""Hosts on the loopback address that play those of published weights."""

import hashlib
import re
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class Host(ThreadingHTTPServer):
    """A host of files.

    Args:
        files: Content of each file by its path.
        ranges: Whether a part of a file can be asked for.
        breaks: Numbers of bytes after which the connection breaks, one for each of the first files
            that are sent.
        pause: Seconds of silence before each answer.
        headers: What else it says of each file.
        status: What it answers instead of 200 to whom it sends a whole file.
    """

    daemon_threads = True

    def __init__(self, files, *, ranges=True, breaks=(), pause=0, headers=None, status=200):
        super().__init__(('127.0.0.1', 0), _Handler)
        self.files, self.ranges, self.breaks, self.pause = files, ranges, list(breaks), pause
        self.headers, self.status = headers or {}, status
        self.asked, self.connections = [], 0

    def url(self, path):
        return f'http://127.0.0.1:{self.server_port}/{path}'

    def verify_request(self, request, client_address):
        self.connections += 1
        return True

    def handle_error(self, request, client_address):
        """Say nothing of connections that a test has cut."""


class _Handler(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        host, path = self.server, self.path.lstrip('/')
        wanted = re.fullmatch(r'bytes=(\d+)-(\d*)', self.headers.get('Range', ''))
        host.asked.append((self.command, path, int(wanted[1]) if wanted else 0))
        time.sleep(host.pause)
        content = host.files.get(path)
        if content is None:
            self.send_error(404)
            return
        start = int(wanted[1]) if wanted and host.ranges else 0
        if start and start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else host.status)
        if start:
            self.send_header('Content-Range', f'bytes {start}-{len(content) - 1}/{len(content)}')
        self.send_header('Content-Length', str(len(content) - start))
        self.send_header('ETag', f'"{hashlib.sha256(content).hexdigest()}"')
        for name, value in host.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            end = host.breaks.pop(0) if host.breaks else len(content)
            self.wfile.write(content[start:end])
            self.close_connection = True

    def log_message(self, *args):
        pass


@contextmanager
def hosting(files, **options):
    """Let a host serve files."""
    with Host(files, **options) as host:
        Thread(target=host.serve_forever, args=(0.02,), daemon=True).start()
        yield host
        host.shutdown()
