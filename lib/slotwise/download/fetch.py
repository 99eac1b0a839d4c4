"""One URL to its bytes or to a status: time-outs, size limit, redirects, and retries where one can help."""

from __future__ import annotations

import email.utils
import http.client
import random
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3 import exceptions as errors

from slotwise.contracts.catalogue import Status
from slotwise.download.addresses import Allowed, ForbiddenAddress
from slotwise.download.connections import ClosedMeanwhile, pools
from slotwise.settings.fetch import FetchSettings
from slotwise.texts import without_credentials

MAX_REDIRECTS = 5
_CHUNK = 64 * 1024
_REDIRECTS = (301, 302, 303, 307, 308)
_PASSING = (408, 429)
_HEADERS = {"User-Agent": "slotwise (image data sets)", "Accept": "image/*,*/*;q=0.5", "Accept-Encoding": "identity"}


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


def pool_manager(threads: int, allowed: Allowed) -> urllib3.PoolManager:
    """Connections that `threads` threads share, to allowed addresses alone; proxies in the environment are not used."""
    manager = urllib3.PoolManager(num_pools=64, maxsize=threads, retries=False)
    manager.pool_classes_by_scheme = pools(allowed)
    return manager


def fetch(pool: urllib3.PoolManager, url: str, options: FetchOptions) -> Fetched:
    """Fetches one URL; never raises for what a server or a network does."""
    started = time.monotonic()
    for attempt in range(1, options.retries + 2):
        try:
            body = _follow(pool, options.mirrored(url), options)
            return Fetched(body, None, None, attempt, time.monotonic() - started)
        except _Failed as failure:
            waits = options.backoff * 2 ** (attempt - 1) * random.uniform(0.5, 1.5) if failure.wait is None else failure.wait
            if failure.again and attempt <= options.retries and waits <= options.longest_wait:
                time.sleep(waits)
                continue
            said = without_credentials(str(failure))[:300]
            return Fetched(None, failure.status, said, attempt, time.monotonic() - started)
    raise AssertionError("the last attempt returns")


def _follow(pool: urllib3.PoolManager, url: str, options: FetchOptions) -> bytes:
    deadline = time.monotonic() + options.total_timeout
    for _ in range(MAX_REDIRECTS + 1):
        response = _ask(pool, url, options, deadline)
        try:
            if response.status not in _REDIRECTS:
                return _body(response, options, deadline)
            location = response.headers.get("Location")
            if not location:
                raise _Failed(Status.HTTP_ERROR, f"HTTP {response.status} without a Location")
            url = options.mirrored(urljoin(url, location))
        finally:
            # A connection is used again only where its response was read to the end.
            if response.closed or response.length_remaining == 0:
                response.drain_conn()
                response.release_conn()
            else:
                response.close()
    raise _Failed(Status.TOO_MANY_REDIRECTS, f"more than {MAX_REDIRECTS} redirects")


def _ask(pool: urllib3.PoolManager, url: str, options: FetchOptions, deadline: float) -> urllib3.BaseHTTPResponse:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise _Failed(Status.BAD_URL, f"{error}: {url}") from error
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise _Failed(Status.BAD_URL, f"not an http or https address: {url}")
    left = max(0.01, deadline - time.monotonic())
    timeout = urllib3.Timeout(connect=min(options.connect_timeout, left), read=min(options.read_timeout, left))
    try:
        while True:
            with suppress(ClosedMeanwhile):  # is out of the pool; a connection that is new cannot raise it
                return pool.request("GET", url, headers=_HEADERS, timeout=timeout, redirect=False, retries=False, preload_content=False)
    except errors.HTTPError as error:
        raise _classified(error) from error
    except (ValueError, http.client.HTTPException) as error:  # such as control characters or an impossible port
        raise _Failed(Status.BAD_URL, f"{error}") from error
    except OSError as error:
        raise _Failed(Status.UNREACHABLE, f"{error}", again=True) from error


def _classified(error: errors.HTTPError) -> _Failed:
    text = str(error)
    if isinstance(error, ForbiddenAddress):
        return _Failed(Status.FORBIDDEN_ADDRESS, text)
    # urllib3's NewConnectionError is a ConnectTimeoutError as well, but says that nobody listens.
    if isinstance(error, errors.TimeoutError) and not isinstance(error, errors.NewConnectionError):
        return _Failed(Status.TIMEOUT, text, again=True)
    if isinstance(error, errors.LocationValueError):
        return _Failed(Status.BAD_URL, text)
    hopeless = isinstance(error, (errors.NameResolutionError, errors.SSLError))
    return _Failed(Status.UNREACHABLE, text, again=not hopeless)


def _body(response: urllib3.BaseHTTPResponse, options: FetchOptions, deadline: float) -> bytes:
    if response.status != 200:
        passing = response.status in _PASSING or response.status >= 500
        wait = _retry_after(response.headers.get("Retry-After"))
        raise _Failed(Status.HTTP_ERROR, f"HTTP {response.status}", again=passing, wait=wait)
    stated = response.headers.get("Content-Length", "")
    if stated.isascii() and stated.isdigit() and int(stated) > options.max_bytes:
        raise _Failed(Status.TOO_LARGE, f"{stated} bytes are more than {options.max_bytes}")
    chunks: list[bytes] = []
    size = 0
    try:
        while chunk := response.read1(_CHUNK, decode_content=False):  # read() would wait for a full chunk, however slowly it drips
            chunks.append(chunk)
            size += len(chunk)
            if size > options.max_bytes:
                raise _Failed(Status.TOO_LARGE, f"more than {options.max_bytes} bytes")
            if time.monotonic() > deadline:
                raise _Failed(Status.TIMEOUT, f"not done after {options.total_timeout:g} s", again=True)
    except errors.TimeoutError as error:
        raise _Failed(Status.TIMEOUT, str(error), again=True) from error
    except (errors.HTTPError, http.client.HTTPException, OSError) as error:
        raise _Failed(Status.TRUNCATED, f"broke off after {size} bytes: {error}", again=True) from error
    if response.length_remaining:
        raise _Failed(Status.TRUNCATED, f"broke off after {size} bytes, {response.length_remaining} missing", again=True)
    return _plain(b"".join(chunks), response.headers.get("Content-Encoding", ""), options.max_bytes)


def _plain(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """The body without the compression that a server added unasked, and without growing beyond the limit."""
    if encoding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
        return body
    try:
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
        plain = unpacker.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise _Failed(Status.UNREADABLE, f"the {encoding} encoding is damaged: {error}") from error
    if len(plain) > max_bytes:
        raise _Failed(Status.TOO_LARGE, f"more than {max_bytes} bytes unpacked")
    return plain


def _retry_after(text: str | None) -> float | None:
    """Seconds that a server asks to wait: a number or an HTTP date; None where it says nothing that can be understood."""
    if not text:
        return None
    if text.strip().isascii() and text.strip().isdigit():
        return float(text)
    try:
        when = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, when.timestamp() - time.time())
