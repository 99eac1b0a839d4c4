"""Every way the demo's server answers, good and bad: a handler, a share of the books, and how the row must end."""

from __future__ import annotations

import hashlib
import io
import struct
import threading
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol
from urllib.parse import quote

from PIL import Image, ImageDraw

from slotwise.contracts.catalogue import Status

NO_FAULT = "none"
_JPEG = {"Content-Type": "image/jpeg"}
_LARGE_BODY = 64 * 1024 * 1024
_LARGE_SIDES = (12_000, 9_000)


class Answer(Protocol):
    """What a handler can do on the connection; the server implements it."""

    def send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        """A whole response; `Content-Length` is the body's unless the headers say otherwise."""

    def stream(self, start: bytes, length: int) -> None:
        """A body of unstated length: `start`, then zeros up to `length` bytes or until the client hangs up."""

    def wait(self, seconds: float) -> None:
        """Waits, but not beyond the end of the server."""

    def hang_up(self) -> None:
        """Ends the connection after what was sent, or without a word."""


@dataclass(frozen=True)
class Request:
    """One request for a picture."""

    image_id: str
    picture: Callable[[], bytes]
    """The healthy file; only called where a handler needs it."""
    attempt: int
    """How often this id was asked for before, from 0; redirected requests are not counted."""
    answer: Answer
    slow_seconds: float
    stall_seconds: float


Handler = Callable[[Request], None]


def healthy(request: Request) -> None:
    request.answer.send(200, request.picture(), _JPEG)


def not_found(request: Request) -> None:
    request.answer.send(404, b"no such cover", {"Content-Type": "text/plain"})


def error_once(request: Request) -> None:
    if request.attempt == 0:
        request.answer.send(500, b"try again", {"Content-Type": "text/plain"})
    else:
        healthy(request)


def error_always(request: Request) -> None:
    request.answer.send(500, b"out of order", {"Content-Type": "text/plain"})


def throttled_once(request: Request) -> None:
    if request.attempt == 0:
        request.answer.send(429, b"slow down", {"Content-Type": "text/plain", "Retry-After": "1"})
    else:
        healthy(request)


def dropped_once(request: Request) -> None:
    if request.attempt == 0:
        request.answer.hang_up()
    else:
        healthy(request)


def slow(request: Request) -> None:
    request.answer.wait(request.slow_seconds)
    healthy(request)


def stalled(request: Request) -> None:
    request.answer.wait(request.stall_seconds)
    healthy(request)


def truncated(request: Request) -> None:
    body = request.picture()
    request.answer.send(200, body[: len(body) // 2], {**_JPEG, "Content-Length": str(len(body))})
    request.answer.hang_up()


def damaged(request: Request) -> None:
    """The response is whole, the JPEG in it is not."""
    body = request.picture()
    request.answer.send(200, body[: len(body) // 2], _JPEG)


def empty(request: Request) -> None:
    request.answer.send(200, b"", _JPEG)


def html_as_jpeg(request: Request) -> None:
    page = b"<!DOCTYPE html><html><head><title>Sorry</title></head><body>image not available</body></html>"
    request.answer.send(200, page, _JPEG)


def redirected(request: Request) -> None:
    request.answer.send(302, b"", {"Location": f"/moved/{quote(request.image_id, safe='')}.jpg"})


def redirect_loop(request: Request) -> None:
    request.answer.send(302, b"", {"Location": f"/{quote(request.image_id, safe='')}.jpg"})


def too_many_pixels(request: Request) -> None:
    request.answer.send(200, huge_png(*_LARGE_SIDES), {"Content-Type": "image/png"})


def too_many_bytes(request: Request) -> None:
    request.answer.stream(request.picture(), _LARGE_BODY)


def png_alpha(request: Request) -> None:
    image = Image.open(io.BytesIO(request.picture())).convert("RGBA")
    mask = Image.new("L", image.size, 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, image.width - 1, image.height - 1), image.width // 8, fill=255)
    image.putalpha(mask)
    request.answer.send(200, _encoded(image, "PNG", compress_level=1), {"Content-Type": "image/png"})


def cmyk_jpeg(request: Request) -> None:
    image = Image.open(io.BytesIO(request.picture())).convert("CMYK")
    request.answer.send(200, _encoded(image, "JPEG", quality=85), _JPEG)


def gif(request: Request) -> None:
    image = Image.open(io.BytesIO(request.picture())).convert("RGB").quantize(64)
    request.answer.send(200, _encoded(image, "GIF"), {"Content-Type": "image/gif"})


FAULTS: dict[str, Handler] = {
    NO_FAULT: healthy,
    "not-found": not_found,
    "error-once": error_once,
    "error-always": error_always,
    "throttled-once": throttled_once,
    "dropped-once": dropped_once,
    "slow": slow,
    "stalled": stalled,
    "truncated": truncated,
    "damaged": damaged,
    "empty": empty,
    "html-as-jpeg": html_as_jpeg,
    "redirected": redirected,
    "redirect-loop": redirect_loop,
    "too-many-pixels": too_many_pixels,
    "too-many-bytes": too_many_bytes,
    "png-alpha": png_alpha,
    "cmyk-jpeg": cmyk_jpeg,
    "gif": gif,
    # The same picture under several ids: what is served is the picture function's business, not the answer's.
    "identical": healthy,
}

# The faults that no retry cures, each with the status its row ends in; a fault that is not here ends in a picture.
FAILURES: dict[str, Status] = {
    "not-found": Status.HTTP_ERROR,
    "error-always": Status.HTTP_ERROR,
    "stalled": Status.TIMEOUT,
    "truncated": Status.TRUNCATED,
    "damaged": Status.UNREADABLE,
    "empty": Status.NOT_AN_IMAGE,
    "html-as-jpeg": Status.NOT_AN_IMAGE,
    "redirect-loop": Status.TOO_MANY_REDIRECTS,
    "too-many-pixels": Status.TOO_MANY_PIXELS,
    "too-many-bytes": Status.TOO_LARGE,
}

# Ids of 100,000 with each fault: about 5 % fail, about 7 % are odd but end in a picture. One stalled
# picture costs every retry's full read time-out, so a demo of the default size meets none.
_PER_100_000: dict[str, int] = {
    "not-found": 1500,
    "error-always": 500,
    "truncated": 900,
    "damaged": 400,
    "empty": 200,
    "html-as-jpeg": 900,
    "redirect-loop": 300,
    "too-many-pixels": 200,
    "too-many-bytes": 100,
    "error-once": 1500,
    "throttled-once": 200,
    "dropped-once": 300,
    "slow": 1000,
    "redirected": 1000,
    "png-alpha": 1000,
    "cmyk-jpeg": 700,
    "gif": 700,
    "identical": 700,
    "stalled": 1,
}


def fault_of(book_id: str) -> str:
    """The name in FAULTS of how the demo's server answers for an id; NO_FAULT for most."""
    digest = hashlib.blake2b(f"fault/{book_id}".encode(), digest_size=8).digest()
    place = int.from_bytes(digest, "big") % 100_000
    for name, share in _PER_100_000.items():
        if place < share:
            return name
        place -= share
    return NO_FAULT


# Threads that ask at the same time would otherwise each build it.
_huge_png_lock = threading.Lock()


def huge_png(width: int, height: int) -> bytes:
    """A black PNG of any number of pixels in a few kB, built row by row: the pixels are never in memory."""
    with _huge_png_lock:
        return _huge_png(width, height)


@lru_cache(maxsize=4)
def _huge_png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packer, row = zlib.compressobj(9), bytes(1 + (width + 7) // 8)
    pixels = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def _encoded(image: Image.Image, form: str, **options: int) -> bytes:
    content = io.BytesIO()
    image.save(content, form, **options)
    return content.getvalue()
