"""A local web server that gives out covers as the real web does: mostly well, sometimes late, broken, or not at all."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from slotwise.sources.demo.categories import category_of
from slotwise.sources.demo.covers import cover_jpeg
from slotwise.sources.demo.faults import FAULTS, NO_FAULT, Request, fault_of

Images = Mapping[str, bytes] | Callable[[str], bytes]
Faults = Mapping[str, str] | Callable[[str], str | None]

_IDLE_SECONDS = 30
_CHUNK = 64 * 1024
_NO_COVER_YET = "No cover yet"


class _UnknownImage(Exception):
    """There is no picture for an id: a 404, not an accident."""


class FaultyServer:
    """Serves pictures over HTTP/1.1 with keep-alive while its `with` block lasts, each with the fault its id has.

    A request's id is its query's `id` (as at Google Books), else the path's last part without its extension.

    Args:
        images: the healthy file of an id; an unknown id (KeyError) is answered with 404.
        faults: the name in FAULTS of an id's fault; None, NO_FAULT or absent for a healthy answer.
        host: address to listen on.
        port: port to listen on; 0 takes a free one.
        slow_seconds: what the fault `slow` waits.
        stall_seconds: what the fault `stalled` waits; longer than the client's read time-out, to be one.

    Raises:
        KeyError: `faults` is a table and names a fault that FAULTS lacks.
    """

    def __init__(
        self,
        images: Images,
        faults: Faults | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        slow_seconds: float = 0.3,
        stall_seconds: float = 12.0,
    ) -> None:
        self._picture = images if callable(images) else images.__getitem__
        self._fault = faults if callable(faults) else (faults or {}).get
        if isinstance(faults, Mapping):
            for name in set(faults.values()):
                FAULTS[name]
        self._address = (host, port)
        self._slow_seconds, self._stall_seconds = slow_seconds, stall_seconds
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._server: _Server | None = None
        self.requests: Counter[str] = Counter()
        """How often each id was asked for, redirected requests not counted."""

    def __enter__(self) -> FaultyServer:
        self._ended.clear()
        self._server = _Server(self._address, self)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="cover-server", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    @property
    def url(self) -> str:
        """`http://host:port` without a trailing slash.

        Raises:
            RuntimeError: the server is not running.
        """
        if self._server is None:
            raise RuntimeError("The server runs only inside its `with` block")
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def wait(self, seconds: float) -> None:
        """Waits, but not beyond the end of the `with` block."""
        self._ended.wait(seconds)

    def _known_picture(self, image_id: str) -> bytes:
        try:
            return self._picture(image_id)
        except KeyError as error:
            raise _UnknownImage(image_id) from error

    def respond(self, path: str, answer: _Answer) -> None:
        """Carries out the fault of a request's id."""
        image_id = image_id_of(path)
        moved = urlsplit(path).path.startswith("/moved/")
        with self._lock:
            attempt = self.requests[image_id]
            self.requests[image_id] += 0 if moved else 1
        handler = FAULTS[NO_FAULT if moved else self._fault(image_id) or NO_FAULT]
        try:
            handler(Request(image_id, lambda: self._known_picture(image_id), attempt, answer, self._slow_seconds, self._stall_seconds))
        except _UnknownImage:
            answer.send(404, b"no such cover", {"Content-Type": "text/plain"})


class CoverServer(FaultyServer):
    """Draws the demo's covers as they are asked for, with the faults of `fault_of`.

    Args:
        seed: seed of the drawings.
        host: address to listen on.
        port: port to listen on; 0 takes a free one.
    """

    def __init__(self, *, seed: int = 7, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__(lambda book_id: cover_of(book_id, seed), fault_of, host=host, port=port)


def cover_of(book_id: str, seed: int) -> bytes:
    """The JPEG of a demo id; all ids of one category whose fault is `identical` share one picture.

    Raises:
        KeyError: the text is no id of the demo.
    """
    category = category_of(book_id)
    return cover_jpeg(_NO_COVER_YET if fault_of(book_id) == "identical" else book_id, category, seed)


def image_id_of(path: str) -> str:
    """The id that a request's path asks for."""
    parts = urlsplit(path)
    asked = parse_qs(parts.query).get("id")
    return asked[0] if asked else PurePosixPath(unquote(parts.path)).stem


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Many downloading threads connect in one moment; with the default of 5 some would wait a second for a second SYN.
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], owner: FaultyServer) -> None:
        self.owner = owner
        super().__init__(address, _Answer)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up or fall silent are daily business; anything else is printed as usual."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class _Answer(BaseHTTPRequestHandler):
    """One connection; implements faults.Answer."""

    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    # Head and body are two writes: unbuffered and with Nagle's algorithm each picture would take 40 ms longer.
    wbufsize = _CHUNK
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self.server.owner.respond(self.path, self)

    def send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def stream(self, start: bytes, length: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(start)
        zeros = bytes(_CHUNK)
        for _ in range((length - len(start)) // _CHUNK):
            self.wfile.write(zeros)

    def wait(self, seconds: float) -> None:
        self.server.owner.wait(seconds)

    def hang_up(self) -> None:
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: the download stage tells what came of each request."""
