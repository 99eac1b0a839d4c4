"""A server on loopback whose answers a test writes itself, byte by byte if need be."""

from __future__ import annotations

import socketserver
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Script:
    """Paths with what is sent for them, raw; each answer ends its connection."""

    answers: dict[str, Callable[[int], Iterator[bytes]]] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)
    most_at_once: int = 0
    url: str = ""


@contextmanager
def scripted(answers: dict[str, Callable[[int], Iterator[bytes]]]) -> Iterator[Script]:
    """Serves `answers[path](attempt)`, the parts of a raw HTTP response; attempts count from 0."""
    script = Script(answers)
    lock = threading.Lock()
    now = [0]

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            path = self.rfile.readline().split(b" ")[1].decode()
            while self.rfile.readline().strip():
                pass
            with lock:
                attempt = script.requests[path]
                script.requests[path] += 1
                now[0] += 1
                script.most_at_once = max(script.most_at_once, now[0])
            try:
                for part in answers[path](attempt):
                    self.wfile.write(part)
                    self.wfile.flush()
            except ConnectionError:
                pass
            finally:
                with lock:
                    now[0] -= 1

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True
        request_queue_size = 128

        def handle_error(self, *_: Any) -> None:
            """Clients that hang up are expected here."""

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        script.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield script
        server.shutdown()


def response(status: int, body: bytes = b"", **headers: str) -> bytes:
    """A whole response; header names with `_` for `-`."""
    lines = [f"HTTP/1.1 {status} X", *(f"{name.replace('_', '-')}: {value}" for name, value in {"Content_Length": str(len(body)), **headers}.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
