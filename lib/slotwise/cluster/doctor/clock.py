"""How far another machine's clock is from the driver's, whatever the network takes to say so."""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple

_EXCHANGES = 5
_TIMEOUT_SECONDS = 5.0


class Skew(NamedTuple):
    """By how many seconds this clock is ahead of the driver's, and how wrong that can be."""

    seconds: float
    within: float


class ClockServer:
    """Tells its time, to anybody who sends a byte, while its `with` block lasts.

    Args:
        host: the address to listen on.
        clock: seconds since 1970.
    """

    def __init__(self, host: str, clock: Callable[[], float] = time.time) -> None:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                while self.request.recv(1):
                    self.request.sendall(struct.pack("!d", clock()))

        self._server = socketserver.ThreadingTCPServer((host, 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def __enter__(self) -> ClockServer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()


def skew(host: str, port: int) -> Skew:
    """This clock against that of a ClockServer, by the exchange that took the shortest.

    Raises:
        OSError: the server cannot be reached.
    """
    found = []
    with socket.create_connection((host, port), timeout=_TIMEOUT_SECONDS) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(_EXCHANGES):
            asked = time.time()
            connection.sendall(b"?")
            answer = connection.recv(8, socket.MSG_WAITALL)
            answered = time.time()
            if len(answer) < 8:
                raise ConnectionError(f"{host}:{port} hung up")
            # The answer was given at some moment between the two.
            found.append(Skew((asked + answered) / 2 - struct.unpack("!d", answer)[0], (answered - asked) / 2))
    return min(found, key=lambda each: each.within)
