"""The files of one boot by HTTP, for boot loaders: these and nothing else, until the boot is over."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from pathlib import Path
from threading import BoundedSemaphore, Lock, Thread
from typing import Any

from harness.errors import HostError
from harness.text import one_line

CLIENT_S = 30.0  # for a client to ask, or to take what it asked for
MOST_CLIENTS = 16
MOST_LOG = 1 << 20  # bytes
PIECE = 1 << 16
_RANGE = re.compile(r"bytes=(\d{1,15})-(\d{0,15})")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], folder: Path, log: Path) -> None:
        self.folder, self._log, self._room, self._writing = folder, log.open("a"), MOST_LOG, Lock()
        self._places = BoundedSemaphore(MOST_CLIENTS)
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        self.note(f"{client_address[0]} was lost")

    def note(self, words: str) -> None:
        """Keep a line for whoever looks why a board did not boot."""
        with self._writing:
            self._room -= len(words) + 1
            if self._room > 0 and not self._log.closed:
                print(words, file=self._log, flush=True)

    def server_close(self) -> None:
        super().server_close()
        with self._writing:
            self._log.close()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = CLIENT_S
    server_version, sys_version = "harness", ""

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its parent's
        words = f"{self.client_address[0]} {format % args}"
        self.server.note(one_line(words))

    def _answer(self, *, body: bool) -> None:
        name = self.path.partition("?")[0].lstrip("/")
        # looked up among the names that there are: a path of any kind is none of them
        path = next((one for one in self.server.folder.iterdir() if one.name == name), None)
        if path is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        size = path.stat().st_size
        asked = _RANGE.fullmatch(self.headers.get("Range", ""))
        first, last = (int(asked[1]), min(int(asked[2] or size), size - 1)) if asked else (0, size - 1)
        if asked and not first <= last:
            self.send_error(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            return
        self.send_response(HTTPStatus.PARTIAL_CONTENT if asked else HTTPStatus.OK)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("Accept-Ranges", "bytes")
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.end_headers()
        if body:
            with path.open("rb") as file:
                file.seek(first)
                _copy(file, self.wfile, last - first + 1)


def _copy(file: BufferedIOBase, to: BufferedIOBase, size: int) -> None:
    while size and (piece := file.read(min(size, PIECE))):
        to.write(piece)
        size -= len(piece)


@contextmanager
def serving(folder: Path, address: str, port: int, log: Path) -> Iterator[str]:
    """Serve the files of `folder` as long as the block lasts, and give their URL; HostError when it cannot be.

    Who asked for what goes to `log`.
    """
    try:
        server = _Server((address, port), folder, log)
    except OSError as error:
        raise HostError(
            f"the image cannot be served by HTTP at {address}, port {port}: {error.strerror or error}",
            hint="the address is to be one of this host's, the port free; ports below 1024 need root",
        ) from error
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="webserver", daemon=True)
    thread.start()
    try:
        yield f"http://{f'[{address}]' if ':' in address else address}:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def address_of(interface: str) -> str:
    """Return the IPv4 address of an interface of this host; HostError when it has none."""
    import psutil

    for row in psutil.net_if_addrs().get(interface, ()):
        if row.family == socket.AF_INET:
            return str(row.address)
    raise HostError(f"{interface} has no IPv4 address to serve at", hint="ip address add 192.168.77.1/24 dev …")
