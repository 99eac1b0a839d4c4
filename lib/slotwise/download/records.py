"""The rows that the download stage writes: what an image gives in columns, and the schemas of its tables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from slotwise.contracts.catalogue import GATHERED_SCHEMA
from slotwise.formats.ddl import columns_of
from slotwise.imaging import NormalisedImage

IMAGE_FIELDS = tuple(field.name for field in fields(NormalisedImage))
ATTEMPT_FIELDS = ("attempts", "seconds")


def schema_of(names: Iterable[str], extra: str = "") -> str:
    """Spark DDL of some columns of the gathered table, with more columns in front."""
    types = columns_of(GATHERED_SCHEMA)
    return ", ".join(([extra] if extra else []) + [f"{name} {types[name]}" for name in names])


CACHE_SCHEMA = schema_of(IMAGE_FIELDS + ATTEMPT_FIELDS, "key string")
# What became of a candidate: `file` is the chunk of the cache that has its image, null where there is none.
END_SCHEMA = schema_of(("id", "label", "split", "status", "error", *ATTEMPT_FIELDS), "key string, file string")


def image_columns(image: NormalisedImage) -> dict[str, Any]:
    return dict(vars(image))
