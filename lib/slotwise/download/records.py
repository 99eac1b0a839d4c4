"""The rows that the download stage writes: what an image gives in columns, and the schemas of its tables."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from slotwise.contracts.catalogue import GATHERED_SCHEMA
from slotwise.formats.ddl import columns_of
from slotwise.imaging import NormalisedImage

_TYPES = {**columns_of(GATHERED_SCHEMA), "image": "binary"}
# What is known of an image beside its bytes, and of how it was fetched.
MEASURED_FIELDS = (*(field.name for field in fields(NormalisedImage) if field.name != "image"), "attempts", "seconds")

CACHE_SCHEMA = ", ".join(["key string", *(f"{name} {_TYPES[name]}" for name in ("image", *MEASURED_FIELDS))])
# What became of a candidate: `file` is the chunk of the cache that has its image, null where there is none.
FETCHED_SCHEMA = f"{GATHERED_SCHEMA}, key string, file string"
NORMALISED_SCHEMA = f"{GATHERED_SCHEMA}, image binary"


def image_columns(image: NormalisedImage) -> dict[str, Any]:
    """What is known of an image, and its bytes."""
    return dict(vars(image))
