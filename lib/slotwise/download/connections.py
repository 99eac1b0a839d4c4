"""libcurl's connections, to allowed addresses alone, each used again by whoever asks the same server next."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from dataclasses import dataclass
from typing import Any, NamedTuple

from urllib3.util import parse_url

from slotwise.download.addresses import Allowed, ForbiddenAddress
from slotwise.download.libcurl import pycurl

_OPTIONS = {
    pycurl.HTTPHEADER: ["User-Agent: slotwise (image data sets)", "Accept: image/*,*/*;q=0.5"],
    pycurl.ACCEPT_ENCODING: "identity",  # whatever else comes is unpacked
    pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_1_1,
    pycurl.PROXY: "",  # none of the environment
    pycurl.NOSIGNAL: 1,  # for threads
    pycurl.BUFFERSIZE: 64 * 1024,
}
# A certificate that is not trusted or is another name's, and none on this machine to trust by.
_HOPELESS = (pycurl.E_PEER_FAILED_VERIFICATION, pycurl.E_SSL_ISSUER_ERROR, pycurl.E_SSL_CACERT_BADFILE)


class Server(NamedTuple):
    """Whom a URL asks."""

    scheme: str
    host: str
    port: int


@dataclass(frozen=True)
class Limits:
    """How long an answer may take, in seconds, and how many bytes it may have, unpacked where it came compressed."""

    connect: float
    read: float
    """Without a byte from the server."""
    total: float
    max_bytes: int


@dataclass(frozen=True)
class Answer:
    """What a server said: a status of HTTP, the address of a redirect, the seconds that it asks to wait (0 for none), and a body unpacked."""

    status: int
    location: str | None
    retry_after: float
    body: bytes


class TransferError(Exception):
    """No whole answer came.

    Attributes:
        reason: libcurl's, a number of https://curl.se/libcurl/c/libcurl-errors.html; E_OPERATION_TIMEDOUT for all that took too long,
            E_FILESIZE_EXCEEDED for too many bytes.
        received: bytes of the body.
        answer: what came before it broke off, if a status did; its body is empty.
    """

    def __init__(self, reason: int, text: str, received: int, answer: Answer | None) -> None:
        super().__init__(text)
        self.reason, self.received, self.answer = reason, received, answer

    @property
    def hopeless(self) -> bool:
        """Whether the same would come of another request."""
        return self.reason in _HOPELESS


class _ClosedMeanwhile(Exception):
    """A connection that had answered before was closed by its server.

    Servers close what they keep alive whenever they like, and that says nothing of the next URL: it is to be asked for on another
    connection (RFC 9112, section 9.3.1, https://www.rfc-editor.org/rfc/rfc9112#section-9.3.1).
    """


class Connections:
    """What the threads of a task share: connections that wait for the next request to their server.

    Args:
        threads: that ask at a time.
        allowed: the addresses that may be asked. Proxies in the environment are not used.
    """

    def __init__(self, threads: int, allowed: Allowed) -> None:
        self._allowed = allowed
        self._trusted = _trusted_certificates()
        self._most = max(64, threads)
        self._waiting: list[_Connection] = []
        self._lock = threading.Lock()

    def get(self, url: str, limits: Limits) -> Answer:
        """Asks for a URL, on a connection that waits or on a new one; follows no redirect.

        Raises:
            ValueError: it is no URL of http or https.
            ForbiddenAddress: its host leads to an address that is not asked; no connection was made.
            OSError: its host has no address.
            TransferError: no whole answer came.
        """
        server, url = _parsed(url)
        while True:
            connection = self._waiting_for(server) or self._new(server)
            try:
                answer = connection.get(url, limits)
            except _ClosedMeanwhile:  # a new one cannot raise it
                connection.close()
                continue
            except BaseException:
                connection.close()
                raise
            self._keep(connection)
            return answer

    def close(self) -> None:
        """Closes what waits."""
        with self._lock:
            while self._waiting:
                self._waiting.pop().close()

    def _waiting_for(self, server: Server) -> _Connection | None:
        """The connection to a server that was used last: it is the one that has been closed least likely."""
        with self._lock:
            for position in reversed(range(len(self._waiting))):
                if self._waiting[position].server == server:
                    return self._waiting.pop(position)
        return None

    def _new(self, server: Server) -> _Connection:
        return _Connection(server, self._allowed.addresses(server.host, server.port), self._trusted)

    def _keep(self, connection: _Connection) -> None:
        with self._lock:
            self._waiting.append(connection)
            one_too_many = self._waiting.pop(0) if len(self._waiting) > self._most else None
        if one_too_many:
            one_too_many.close()


class _Connection:
    """A connection to a server at one of its addresses, made by the first request."""

    def __init__(self, server: Server, addresses: list[str], trusted: dict[int, str]) -> None:
        self.server = server
        self._addresses = addresses
        self._has_answered = False
        self._refusal: Exception | None = None
        self._pieces: list[bytes] = []
        self._received = 0
        self._max_bytes = 0
        self._curl = pycurl.Curl()
        # The one transfer at a time is driven by hand: libcurl knows no time without a byte, only a speed in whole seconds.
        self._multi = pycurl.CurlMulti()
        for option, value in (_OPTIONS | trusted).items():
            self._curl.setopt(option, value)
        self._curl.setopt(pycurl.WRITEFUNCTION, self._take)
        self._curl.setopt(pycurl.OPENSOCKETFUNCTION, self._open)
        if ":" not in server.host:
            # A name is looked up once: whoever is asked a second time could answer otherwise.
            listed = ",".join(f"[{address}]" if ":" in address else address for address in addresses)
            self._curl.setopt(pycurl.RESOLVE, [f"{server.host}:{server.port}:{listed}"])

    def get(self, url: str, limits: Limits) -> Answer:
        self._pieces, self._received, self._max_bytes = [], 0, limits.max_bytes
        self._curl.setopt(pycurl.URL, url)
        self._curl.setopt(pycurl.CONNECTTIMEOUT_MS, _milliseconds(limits.connect))
        self._curl.setopt(pycurl.TIMEOUT_MS, _milliseconds(limits.total))
        self._curl.setopt(pycurl.MAXFILESIZE_LARGE, limits.max_bytes)
        self._multi.add_handle(self._curl)
        try:
            failure = self._transfer(limits.read)
        finally:
            self._multi.remove_handle(self._curl)
        if self._refusal:
            raise self._refusal
        if failure:
            reason, text = failure
            raise TransferError(reason, text, self._received, self._answer(b"") if self._curl.getinfo(pycurl.RESPONSE_CODE) else None)
        self._has_answered = True
        return self._answer(b"".join(self._pieces))

    def close(self) -> None:
        self._multi.close()
        self._curl.close()

    def _transfer(self, patience: float) -> tuple[int, str] | None:
        """Sends the request and takes the answer; returns libcurl's reason where that failed, and a text.

        Args:
            patience: seconds without a byte, from when the connection is made.
        """
        before, heard = (0, 0), time.monotonic()
        while self._multi.perform()[1]:
            now, so_far = time.monotonic(), (self._curl.getinfo(pycurl.HEADER_SIZE), self._received)
            if so_far != before or not self._curl.getinfo(pycurl.PRETRANSFER_TIME):
                before, heard = so_far, now
            left = heard + patience - now
            if left <= 0:
                return pycurl.E_OPERATION_TIMEDOUT, f"no byte for {patience:g} s"
            due = self._multi.timeout() / 1000
            self._multi.select(min(left, due) if due >= 0 else left)
        failed = self._multi.info_read()[2]
        if not failed:
            return None
        _, reason, text = failed[0]
        if self._received > self._max_bytes:
            return pycurl.E_FILESIZE_EXCEEDED, f"more than {self._max_bytes} bytes"
        if reason == pycurl.E_FILESIZE_EXCEEDED:
            return reason, f"{self._curl.getinfo(pycurl.CONTENT_LENGTH_DOWNLOAD_T)} bytes are more than {self._max_bytes}"
        return reason, text

    def _take(self, piece: bytes) -> int | None:
        self._received += len(piece)
        if self._received > self._max_bytes:
            return 0  # ends the transfer
        self._pieces.append(piece)
        return None

    def _open(self, purpose: int, address: Any) -> Any:
        """A socket for an address that libcurl is about to connect to."""
        if self._has_answered:
            self._refusal = _ClosedMeanwhile()
        elif address.addr[0] not in self._addresses:  # libcurl reads the host otherwise than we do
            self._refusal = ForbiddenAddress(f"{self.server.host} leads to {address.addr[0]}, which is not the address that was looked at")
        else:
            return socket.socket(address.family, address.socktype, address.protocol)
        return pycurl.SOCKET_BAD

    def _answer(self, body: bytes) -> Answer:
        location = self._curl.getinfo_raw(pycurl.REDIRECT_URL)
        return Answer(
            self._curl.getinfo(pycurl.RESPONSE_CODE),
            location.decode("utf-8", "replace") if location else None,
            self._curl.getinfo(pycurl.RETRY_AFTER),
            body,
        )


def _parsed(url: str) -> tuple[Server, str]:
    """Whom a URL asks, and the URL with all escaped that has to be. Raises ValueError."""
    parsed = parse_url(url)
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError(f"not an http or https address: {url}")
    return Server(parsed.scheme, parsed.host.strip("[]"), parsed.port or (443 if parsed.scheme == "https" else 80)), parsed.url


def _trusted_certificates() -> dict[int, str]:
    """Python's own, which SSL_CERT_FILE and SSL_CERT_DIR may name; libcurl's where Python knows none."""
    paths = ssl.get_default_verify_paths()
    return {option: path for option, path in ((pycurl.CAINFO, paths.cafile), (pycurl.CAPATH, paths.capath)) if path}


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))  # 0 is no limit
