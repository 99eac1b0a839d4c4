"""The driver's end of the slots' logs: prints each line whole, as it comes.

The slots send with pyspark's `LogStreamingClient`. Its own server reads without waiting and loses or splits lines that
arrive in parts.
"""

from __future__ import annotations

import socketserver
import struct
import sys
import threading
import time
from types import TracebackType

_DRAIN_SECONDS = 3.0


class LogServer:
    """Prints what slots send while it is open; used as a context manager.

    Args:
        host: the address to listen on.
    """

    def __init__(self, host: str) -> None:
        self._server = _Server((host, 0), _Printer)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def __enter__(self) -> LogServer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Waits a little for connections to end; a slot whose machine is gone never ends its own."""
        deadline = time.monotonic() + _DRAIN_SECONDS
        while self._server.connections and time.monotonic() < deadline:
            time.sleep(0.05)
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    connections = 0
    lock = threading.Lock()


class _Printer(socketserver.StreamRequestHandler):
    """One slot's connection: messages, each behind its length as four bytes, the highest first."""

    server: _Server

    def setup(self) -> None:
        super().setup()
        with self.server.lock:
            self.server.connections += 1

    def finish(self) -> None:
        with self.server.lock:
            self.server.connections -= 1
        super().finish()

    def handle(self) -> None:
        try:
            while len(header := self.rfile.read(4)) == 4:
                message = self.rfile.read(struct.unpack(">i", header)[0])
                with self.server.lock:
                    sys.stderr.write(message.decode("utf-8", "replace") + "\n")
                    sys.stderr.flush()
        except ConnectionError:
            return  # the slot was killed; that is reported elsewhere
