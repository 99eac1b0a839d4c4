"""One URL to its bytes or to a status: time-outs, size limit, redirects, and retries where one can help."""

from __future__ import annotations

import random
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from slotwise.contracts.catalogue import Status
from slotwise.download.addresses import Allowed, ForbiddenAddress
from slotwise.download.connections import Answer, Connections, Limits, TransferError
from slotwise.download.libcurl import pycurl
from slotwise.texts import without_credentials

if TYPE_CHECKING:
    from slotwise.settings.fetch import FetchSettings

MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_PASSING = (408, 429)


@dataclass(frozen=True)
class FetchOptions:
    """How patient, how polite and how strict a fetch is; seconds and bytes."""

    connect_timeout: float = 5.0
    read_timeout: float = 10.0
    total_timeout: float = 30.0
    retries: int = 2
    max_bytes: int = 10_000_000
    mirrors: tuple[tuple[str, str], ...] = ()
    """Pairs of URL beginnings: what starts with the first is fetched from the second."""
    backoff: float = 0.5
    """Wait before the first retry; doubles with each, times a random factor from 0.5 to 1.5."""
    longest_wait: float = 20.0
    """A server that asks by Retry-After for more than this is not asked again."""
    allowed_networks: tuple[str, ...] = ()
    """What may be asked beside public addresses; the mirrors, which the user has named, always may."""

    @classmethod
    def of(cls, settings: FetchSettings) -> FetchOptions:
        mirrors = tuple((source, target) for source, _, target in (pair.partition("=") for pair in settings.mirror))
        return cls(settings.connect_timeout, settings.read_timeout, settings.total_timeout, settings.retries, settings.max_bytes, mirrors, allowed_networks=tuple(settings.allow_addresses))

    def mirrored(self, url: str) -> str:
        """The URL to ask in place of `url`; the first pair that fits counts."""
        for source, target in self.mirrors:
            if url.startswith(source):
                return target + url[len(source) :]
        return url

    @property
    def allowed(self) -> Allowed:
        """The addresses that may be asked."""
        return Allowed.of(self.allowed_networks, [server for _, target in self.mirrors if (server := _server(target))])


@dataclass(frozen=True)
class Fetched:
    """What came of a URL: `body` where `status` is None, else the reason and a text; `seconds` count retries and waits."""

    body: bytes | None
    status: Status | None
    error: str | None
    attempts: int
    seconds: float


class _Failed(Exception):
    """One attempt's end without a body, and whether another attempt could end better."""

    def __init__(self, status: Status, text: str, *, again: bool = False, wait: float | None = None) -> None:
        super().__init__(text)
        self.status, self.again, self.wait = status, again, wait


def host_of(url: str) -> str:
    """Host and port of a URL, the empty text where it has none."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2].lower()
    except ValueError:
        return ""


def _server(url: str) -> tuple[str, int] | None:
    """Host and port that a URL names, if it does."""
    try:
        parts = urlsplit(url)
        return (parts.hostname, parts.port or (443 if parts.scheme.lower() == "https" else 80)) if parts.hostname else None
    except ValueError:
        return None


def fetch(connections: Connections, url: str, options: FetchOptions) -> Fetched:
    """Fetches one URL; never raises for what a server or a network does."""
    started = time.monotonic()
    for attempt in range(1, options.retries + 2):
        try:
            body = _follow(connections, options.mirrored(url), options)
            return Fetched(body, None, None, attempt, time.monotonic() - started)
        except _Failed as failure:
            waits = options.backoff * 2 ** (attempt - 1) * random.uniform(0.5, 1.5) if failure.wait is None else failure.wait
            if failure.again and attempt <= options.retries and waits <= options.longest_wait:
                time.sleep(waits)
                continue
            said = without_credentials(str(failure))[:300]
            return Fetched(None, failure.status, said, attempt, time.monotonic() - started)
    raise AssertionError("the last attempt returns")


def _follow(connections: Connections, url: str, options: FetchOptions) -> bytes:
    deadline = time.monotonic() + options.total_timeout
    for _ in range(MAX_REDIRECTS + 1):
        answer = _ask(connections, url, options, deadline)
        if answer.status == 200:
            return answer.body
        if answer.status not in _REDIRECTS:
            raise _Failed(Status.HTTP_ERROR, f"HTTP {answer.status}", again=answer.status in _PASSING or answer.status >= 500, wait=answer.retry_after or None)
        if not answer.location:
            raise _Failed(Status.HTTP_ERROR, f"HTTP {answer.status} without a Location")
        url = options.mirrored(answer.location)
    raise _Failed(Status.TOO_MANY_REDIRECTS, f"more than {MAX_REDIRECTS} redirects")


def _ask(connections: Connections, url: str, options: FetchOptions, deadline: float) -> Answer:
    limits = Limits(options.connect_timeout, options.read_timeout, max(0.01, deadline - time.monotonic()), options.max_bytes)
    try:
        return connections.get(url, limits)
    except ForbiddenAddress as error:
        raise _Failed(Status.FORBIDDEN_ADDRESS, f"{error}") from error
    except ValueError as error:
        raise _Failed(Status.BAD_URL, f"{error}") from error
    except OSError as error:
        raise _Failed(Status.UNREACHABLE, f"{error}", again=not isinstance(error, socket.gaierror)) from error
    except TransferError as error:
        if error.answer and error.answer.status != 200:
            return error.answer  # the rest of its page is of no interest
        raise _classified(error) from error


def _classified(error: TransferError) -> _Failed:
    text = str(error)
    match error.reason:
        case pycurl.E_URL_MALFORMAT:
            return _Failed(Status.BAD_URL, text)
        case pycurl.E_FILESIZE_EXCEEDED:
            return _Failed(Status.TOO_LARGE, text)
        case pycurl.E_BAD_CONTENT_ENCODING:
            return _Failed(Status.UNREADABLE, text)
        case pycurl.E_OPERATION_TIMEDOUT:
            return _Failed(Status.TIMEOUT, text, again=True)
    if error.answer:
        return _Failed(Status.TRUNCATED, f"broke off after {error.received} bytes: {text}", again=True)
    return _Failed(Status.UNREACHABLE, text, again=not error.hopeless)
