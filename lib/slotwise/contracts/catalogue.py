"""The tables that pass between the preparing stages, and the ways an input row can end.

A *catalogue* has one row per input row. A *gathered* table has one row per candidate whose image was fetched or
read. Every catalogue row ends in exactly one status: `used`, `spare`, or a reason for being set aside.
"""

from __future__ import annotations

from enum import Enum

SPLITS = ("train", "validation", "test")

# Spark DDL of a catalogue: `url` or `image` says where the bytes are; `split` is the source's own, or null;
# `status` is null while a row is a candidate. `row` counts input rows from 0, `id` is stable between runs.
CATALOGUE_SCHEMA = "row long, id string, label string, url string, image binary, split string, status string, error string"

# Spark DDL of the gathered table, which says all of an image but its bytes; there are some where `status` is null.
# `picture` is the SHA-256 of the decoded pixels: equal exactly where two pictures are identical.
# `brightness` and `contrast` are mean and standard deviation of the luma, 0 to 255; `source_*` describe what came in.
GATHERED_SCHEMA = (
    "id string, label string, split string, status string, error string, picture string, "
    "source_format string, source_mode string, source_width int, source_height int, source_bytes long, "
    "brightness double, contrast double, pixel_min int, pixel_max int, attempts int, seconds double"
)


class Status(str, Enum):
    """How an input row ended. The value is what tables and records hold."""

    USED = "used"
    SPARE = "spare"
    # Set aside while reading the catalogue.
    MALFORMED_ROW = "malformed-row"
    MISSING_IMAGE = "missing-image"
    MISSING_CATEGORY = "missing-category"
    DUPLICATE = "duplicate"
    OTHER_CATEGORY = "other-category"
    # Set aside while fetching.
    BAD_URL = "bad-url"
    FORBIDDEN_ADDRESS = "forbidden-address"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    HTTP_ERROR = "http-error"
    TOO_MANY_REDIRECTS = "too-many-redirects"
    TOO_LARGE = "too-large"
    TRUNCATED = "truncated"
    # Set aside while decoding.
    NOT_AN_IMAGE = "not-an-image"
    UNREADABLE = "unreadable"
    TOO_MANY_PIXELS = "too-many-pixels"
    # Set aside while balancing.
    IDENTICAL_IMAGE = "identical-image"


FETCH_FAILURES = (
    Status.BAD_URL,
    Status.FORBIDDEN_ADDRESS,
    Status.UNREACHABLE,
    Status.TIMEOUT,
    Status.HTTP_ERROR,
    Status.TOO_MANY_REDIRECTS,
    Status.TOO_LARGE,
    Status.TRUNCATED,
    Status.NOT_AN_IMAGE,
    Status.UNREADABLE,
    Status.TOO_MANY_PIXELS,
)
