"""One URL ends in its bytes or in the status of its fault, with retries only where they can help."""

from __future__ import annotations

import gzip
import io
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from http_server import Script, response, scripted
from slotwise.contracts.catalogue import Status
from slotwise.download.connections import Connections
from slotwise.download.fetch import Fetched, FetchOptions, fetch
from slotwise.download.polite import map_politely
from slotwise.imaging import ImageFailure, normalise
from slotwise.settings.prepare import PrepareSettings
from slotwise.sources.demo.faults import FAILURES, FAULTS
from slotwise.sources.demo.server import FaultyServer

# A machine that runs other tests too may take a second over an answer; what ends by time says so with SHORT.
PATIENT = FetchOptions(connect_timeout=20, read_timeout=20, total_timeout=60, retries=1, max_bytes=200_000, backoff=0.01, allowed_networks=("127.0.0.0/8",))
SHORT = {"read_timeout": 0.4, "total_timeout": 1.2}


def jpeg() -> bytes:
    content = io.BytesIO()
    Image.radial_gradient("L").convert("RGB").save(content, "JPEG", quality=95)
    return content.getvalue()


def get(url: str, **changes: object) -> Fetched:
    options = replace(PATIENT, **changes)
    return fetch(Connections(4, options.allowed), url, options)


@pytest.fixture(scope="module")
def faulty() -> Iterator[FaultyServer]:
    faults = {name: name for name in FAULTS if name != "none"}
    with FaultyServer(lambda _: jpeg(), faults, slow_seconds=0.05, stall_seconds=1.0) as server:
        yield server


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_ends_in_its_status(faulty: FaultyServer, fault: str) -> None:
    found = get(f"{faulty.url}/{fault}.jpg", retries=2, **(SHORT if fault == "stalled" else {}))
    status = found.status
    if found.body is not None:
        image = normalise(found.body, height=10, width=10, max_pixels=50_000_000)
        status = image.status if isinstance(image, ImageFailure) else None
    assert status is FAILURES.get(fault), found


@pytest.mark.parametrize(
    ("fault", "attempts"),
    [("none", 1), ("not-found", 1), ("too-many-bytes", 1), ("html-as-jpeg", 1), ("redirect-loop", 1), ("redirected", 1), ("error-always", 3), ("stalled", 3), ("truncated", 3)],
)
def test_only_what_may_pass_is_tried_again(faulty: FaultyServer, fault: str, attempts: int) -> None:
    before = faulty.requests[fault]
    found = get(f"{faulty.url}/{fault}.jpg", retries=2, **(SHORT if fault == "stalled" else {}))
    assert found.attempts == attempts
    if not fault.startswith("redirect"):
        assert faulty.requests[fault] - before == attempts


@pytest.mark.parametrize("url", ["", "nonsense", "ftp://host/a.jpg", "file:///etc/passwd", "http://", "http://[::1", "http://127.0.0.1:99999/x", "http:///a", "data:,x", "http://a..b/\ud800"])
def test_bad_urls_are_not_tried(url: str) -> None:
    found = get(url)
    assert (found.status, found.attempts) == (Status.BAD_URL, 1), found


@given(st.text(max_size=40))
def test_no_text_raises(text: str) -> None:
    url = text if "://" not in text else "bad"
    assert get(url, retries=0, connect_timeout=0.01).body is None


def test_a_refused_connection_is_unreachable() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        found = get(f"http://127.0.0.1:{held.getsockname()[1]}/a.jpg")
    assert (found.status, found.attempts) == (Status.UNREACHABLE, 2)


def _answers(script: dict[str, object]) -> dict[str, object]:
    return {path: (lambda attempt, parts=parts: iter([parts])) if isinstance(parts, bytes) else parts for path, parts in script.items()}


def dripping(attempt: int) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 X\r\nContent-Length: 1000\r\n\r\n"
    for _ in range(100):
        time.sleep(0.1)
        yield b"x"


def throttled(attempt: int) -> Iterator[bytes]:
    yield response(429, Retry_After="1") if attempt == 0 else response(200, b"now")


def chunks_cut_off(attempt: int) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"


def page_without_end(attempt: int) -> Iterator[bytes]:
    yield b"HTTP/1.1 404 X\r\nTransfer-Encoding: chunked\r\n\r\n"
    for _ in range(100):
        time.sleep(0.1)
        yield b"1\r\nx\r\n"


def kept(attempt: int) -> Iterator[bytes]:
    yield response(200, b"kept")
    time.sleep(0.2)


@pytest.fixture(scope="module")
def server() -> Iterator[Script]:
    answers = {
        "/drip": dripping,
        "/throttled": throttled,
        "/busy": response(503, Retry_After="3600"),
        "/busy-until": response(503, Retry_After="Fri, 01 Jan 2100 00:00:00 GMT"),
        "/chunks": b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
        "/cut": chunks_cut_off,
        "/no-length": b"HTTP/1.0 200 X\r\n\r\nall of it",
        "/gzip": response(200, gzip.compress(b"plain"), Content_Encoding="gzip"),
        "/gzip-bomb": response(200, gzip.compress(bytes(10_000_000)), Content_Encoding="gzip"),
        "/gzip-damaged": response(200, b"not gzip at all", Content_Encoding="gzip"),
        "/nowhere": response(302),
        "/to-file": response(302, Location="file:///etc/passwd"),
        "/far": response(301, Location="http://old.example/near"),
        "/near": response(200, b"here"),
        "/gone": response(410),
        "/page-without-end": page_without_end,
        "/nothing": response(204),
        "/stated-large": response(200, b"", Content_Length="999999999"),
        "/kept": kept,
        "/silent": b"",
        "/not-http": b"SSH-2.0-OpenSSH_9.9\r\n",
        "/a b?c=d&e=%20f": b"",
    }
    answers["/a%20b?c=d&e=%20f"] = response(200, b"spaced")
    with scripted(_answers(answers)) as script:  # type: ignore[arg-type]
        yield script


@pytest.mark.parametrize(
    ("path", "body", "status", "attempts"),
    [
        ("/drip", None, Status.TIMEOUT, 2),
        ("/throttled", b"now", None, 2),
        ("/busy", None, Status.HTTP_ERROR, 1),
        ("/busy-until", None, Status.HTTP_ERROR, 1),
        ("/chunks", b"hello world", None, 1),
        ("/cut", None, Status.TRUNCATED, 2),
        ("/no-length", b"all of it", None, 1),
        ("/gzip", b"plain", None, 1),
        ("/gzip-bomb", None, Status.TOO_LARGE, 1),
        ("/gzip-damaged", None, Status.UNREADABLE, 1),
        ("/nowhere", None, Status.HTTP_ERROR, 1),
        ("/to-file", None, Status.BAD_URL, 1),
        ("/gone", None, Status.HTTP_ERROR, 1),
        ("/page-without-end", None, Status.HTTP_ERROR, 1),
        ("/nothing", None, Status.HTTP_ERROR, 1),
        ("/stated-large", None, Status.TOO_LARGE, 1),
        ("/not-http", None, Status.UNREACHABLE, 2),
        ("/a b?c=d&e=%20f", b"spaced", None, 1),
    ],
)
def test_odd_answers(server: Script, path: str, body: bytes | None, status: Status | None, attempts: int) -> None:
    found = get(server.url + path, **(SHORT if status is Status.TIMEOUT or path == "/page-without-end" else {}))
    assert (found.body, found.status, found.attempts) == (body, status, attempts), found
    assert (found.error is None) == (status is None)


def test_the_total_time_is_kept_while_bytes_still_come(server: Script) -> None:
    started = time.monotonic()
    assert get(f"{server.url}/drip", retries=0, **SHORT).status is Status.TIMEOUT
    assert 1.0 < time.monotonic() - started < 2.5


def test_mirrors_replace_beginnings_also_after_a_redirect(server: Script) -> None:
    settings = PrepareSettings(input="x", mirror=[f"http://old.example={server.url}", "http://covers.example/?id==http://no.example/"])
    options = replace(FetchOptions.of(settings), retries=0)
    assert options.mirrored("http://other.example/x") == "http://other.example/x"
    assert fetch(Connections(1, options.allowed), "http://old.example/near", options).body == b"here"
    assert fetch(Connections(1, options.allowed), "http://old.example/far", options).body == b"here"


def test_a_connection_closed_while_it_was_kept_is_no_attempt(server: Script) -> None:
    options = replace(PATIENT, retries=0)
    pool = Connections(1, options.allowed)
    for _ in range(3):  # each request but the first meets a connection that the server closes without a word
        assert fetch(pool, f"{server.url}/kept", options).body == b"kept"
    assert fetch(pool, f"{server.url}/not-http", options).status is Status.UNREACHABLE
    silent = fetch(Connections(1, options.allowed), f"{server.url}/silent", options)
    assert (silent.status, silent.attempts) == (Status.UNREACHABLE, 1)
    assert server.requests["/silent"] == 1


class Keeping(BaseHTTPRequestHandler):
    """Keeps connections; /gone is a page of 404, /moved leads to /image, /away?URL to that URL."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.clients.add(self.client_address)  # type: ignore[attr-defined]
        self.server.authorizations.append(self.headers["Authorization"])  # type: ignore[attr-defined]
        body = self.path.encode()
        path, _, there = self.path.partition("?")
        self.send_response({"/gone": 404, "/moved": 302, "/away": 302}.get(path, 200))
        self.send_header("Location", there or "/image")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def keeping(context: ssl.SSLContext | None = None) -> Iterator[ThreadingHTTPServer]:
    """A server whose `clients` are the connections that it was asked on, and `authorizations` what came with each request."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Keeping) as server:
        server.clients, server.authorizations = set(), []  # type: ignore[attr-defined]
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server
        server.shutdown()


def test_one_connection_serves_one_request_after_the_other() -> None:
    with keeping() as server:
        url, connections = f"http://127.0.0.1:{server.server_port}", Connections(2, PATIENT.allowed)
        for path, body in [("/image", b"/image"), ("/gone", None), ("/moved", b"/image"), ("/other", b"/other")]:
            assert fetch(connections, url + path, PATIENT).body == body
        assert len(server.clients) == 1  # type: ignore[attr-defined]
        connections.close()


def test_a_password_in_a_url_is_for_its_own_server() -> None:
    with keeping() as own, keeping() as other:
        url = f"http://user:word@127.0.0.1:{own.server_port}"
        assert get(f"{url}/image").body == b"/image"
        assert get(f"{url}/away?http://127.0.0.1:{other.server_port}/image").body == b"/image"
        assert own.authorizations == ["Basic dXNlcjp3b3Jk"] * 2  # type: ignore[attr-defined]
        assert other.authorizations == [None]  # type: ignore[attr-defined]


def test_no_proxy_of_the_environment_is_asked(server: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert get(f"{server.url}/near").body == b"here"


@pytest.mark.parametrize("loaded", ["import tensorflow, slotwise.download.fetch", "import slotwise.download.fetch, tensorflow"], ids=["before", "after"])
def test_tensorflows_own_libcurl_is_left_alone(server: Script, loaded: str) -> None:
    """As in a task of predict, which fetches for a model; at worst the process would end by a signal."""
    code = f"""
{loaded}
from slotwise.download.connections import Connections, Limits
from slotwise.download.addresses import Allowed
print(Connections(1, Allowed.of(["127.0.0.0/8"], [])).get({server.url + "/near"!r}, Limits(20, 20, 60, 1000)).body)
print(tensorflow.reduce_sum(tensorflow.ones(3)).numpy())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == ["b'here'", "3.0"], done.stderr[-2000:]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A certificate of localhost that trusts itself, and a server's context with it."""
    directory = tmp_path_factory.mktemp("certificate")
    shown, key = directory / "shown.pem", directory / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*made, "-keyout", key, "-out", shown], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown, key)
    return shown, context


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate by openssl")
def test_a_certificate_has_to_be_trusted_and_the_hosts_own(certificate: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch) -> None:
    shown, context = certificate
    with keeping(context) as server:
        port = server.server_port
        stranger = get(f"https://localhost:{port}/image", mirrors=((f"https://localhost:{port}", f"https://localhost:{port}"),))
        assert (stranger.status, stranger.attempts) == (Status.UNREACHABLE, 1), stranger
        monkeypatch.setenv("SSL_CERT_FILE", str(shown))
        friend = get(f"https://localhost:{port}/image", mirrors=((f"https://localhost:{port}", f"https://localhost:{port}"),))
        assert friend.body == b"/image", friend
        misnamed = get(f"https://127.0.0.1:{port}/image")
        assert (misnamed.status, misnamed.attempts) == (Status.UNREACHABLE, 1), misnamed
        assert "certificate" in str(misnamed.error).lower()


def test_few_connections_per_host_and_no_host_waits_for_another() -> None:
    lock, now, most, done = threading.Lock(), Counter[str](), Counter[str](), Counter[str]()
    all_fast = threading.Event()

    def work(item: tuple[str, int]) -> int:
        host, number = item
        with lock:
            now[host] += 1
            most[host] = max(most[host], now[host])
        # The slow host answers only when the fast one has answered everything.
        assert host == "fast" or all_fast.wait(30), "the fast host waits for the slow one"
        with lock:
            now[host] -= 1
            done[host] += 1
            if done["fast"] == 20:
                all_fast.set()
        return number * 2

    items = [("slow", number) for number in range(20)] + [("fast", number) for number in range(20)]
    results = list(map_politely(work, items, lambda item: item[0], threads=8, per_host=3))
    assert sorted(results) == sorted(((host, number), number * 2) for host, number in items)
    assert most["slow"] <= 3
    assert most["fast"] <= 3
    assert list(map_politely(work, [], lambda item: item[0], threads=2, per_host=1)) == []


def test_items_are_taken_as_they_are_needed() -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(10_000):
            taken.append(number)
            yield number

    results = map_politely(lambda item: item, items(), lambda _: "host", threads=4, per_host=2)
    for _ in range(10):
        next(results)
    assert len(taken) < 100
    results.close()  # type: ignore[attr-defined]
