"""In how many pieces an image file comes, and how large they are: what makes decoders work for minutes on a few megabytes.

Limits of bytes and of pixels do not bound a decoder's work. A progressive JPEG may go over all its pixels again with each scan of some
bytes (https://libjpeg-turbo.org/pmwiki/uploads/About/TwoIssueswiththeJPEGStandard.pdf), a TIFF may put every pixel into a strip of its own
or the whole of a small picture into an enormous tile, and pieces of metadata are joined at the price of the square of their number.
"""

from __future__ import annotations

import struct

import numpy as np

# Far beyond what programs write: progressive JPEGs have about ten scans, a camera's file some more in its previews.
MAX_SCANS = 100
MAX_EXIF = 100
MAX_COMMENTS = 10_000
MAX_STRIPS = 100_000

_STRIPS, _TILE_WIDTH, _TILE_LENGTH, _TILES = 273, 322, 323, 324
# The forms of TIFF by their first bytes: byte order, and whether it is the one with places of 64 bits.
_TIFF = {b"II*\x00": ("<", False), b"MM\x00*": (">", False), b"II+\x00": ("<", True), b"MM\x00+": (">", True)}
_VALUES = {1: "B", 3: "H", 4: "I", 16: "Q"}


def excess(data: bytes, max_pixels: int) -> str | None:
    """Why a file is not to be opened, in words; None where nothing speaks against it.

    Counts marks, not structure, where that is enough: within pixels they are as rare as chance makes them.
    """
    if data.startswith(b"\xff\xd8"):
        return _excess_of_jpeg(data)
    if data.startswith(b"GIF8"):
        return _more(data.count(b"\x21\xfe"), MAX_COMMENTS, "comments")
    return _excess_of_tiff(data, max_pixels) if data[:4] in _TIFF else None


def _excess_of_jpeg(data: bytes) -> str | None:
    values = np.frombuffer(data, np.uint8)
    begins, kinds = values[:-1] == 0xFF, values[1:]  # half of the time of searching the bytes for each mark
    exif = [place for place in np.flatnonzero(begins & (kinds == 0xE1)).tolist() if data.startswith(b"Exif\x00\x00", place + 4)]
    return _more(np.count_nonzero(begins & (kinds == 0xDA)), MAX_SCANS, "scans") or _more(len(exif), MAX_EXIF, "pieces of EXIF")


def _excess_of_tiff(data: bytes, max_pixels: int) -> str | None:
    try:
        counts, values = _directory(data)
    except (struct.error, OverflowError):  # cut off: the decoder says so
        return None
    tile = values.get(_TILE_WIDTH, 0) * values.get(_TILE_LENGTH, 0)
    pieces = max(counts.get(_STRIPS, 0), counts.get(_TILES, 0))
    return _more(tile, max_pixels, "pixels in a tile") or _more(pieces, MAX_STRIPS, "strips or tiles")


def _directory(data: bytes) -> tuple[dict[int, int], dict[int, int]]:
    """The numbers of values of a TIFF's first directory by tag, and those values that stand in it themselves."""
    order, is_big = _TIFF[data[:4]]
    head, entry, inline, field = ("Q", "HHQ", 12, 8) if is_big else ("H", "HHI", 8, 4)
    place = struct.unpack_from(f"{order}{'Q' if is_big else 'I'}", data, 8 if is_big else 4)[0]
    (number,) = struct.unpack_from(f"{order}{head}", data, place)
    place += struct.calcsize(head)
    counts: dict[int, int] = {}
    values: dict[int, int] = {}
    for start in range(place, min(place + number * (inline + field), len(data)), inline + field):
        tag, kind, count = struct.unpack_from(f"{order}{entry}", data, start)
        counts[tag] = count
        if count == 1 and kind in _VALUES:
            values[tag] = struct.unpack_from(f"{order}{_VALUES[kind]}", data, start + inline)[0]
    return counts, values


def _more(found: int, limit: int, what: str) -> str | None:
    return f"{found} {what} are more than {limit}" if found > limit else None
