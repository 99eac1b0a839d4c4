"""The rows that the download stage writes: what an image gives in columns, and the schemas of its tables in Arrow's words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import pyarrow as pa

from slotwise.contracts.catalogue import GATHERED_SCHEMA
from slotwise.imaging import NormalisedImage

IMAGE_FIELDS = tuple(field.name for field in fields(NormalisedImage))
ATTEMPT_FIELDS = ("attempts", "seconds")


_ARROW = {"string": pa.string(), "binary": pa.binary(), "int": pa.int32(), "long": pa.int64(), "double": pa.float64()}


def columns_of(ddl: str) -> dict[str, str]:
    """Names and types of a flat Spark DDL."""
    return dict(part.split(" ") for part in ddl.split(", "))


def schema_of(names: Iterable[str], extra: str = "") -> str:
    """Spark DDL of some columns of the gathered table, with more columns in front."""
    types = columns_of(GATHERED_SCHEMA)
    return ", ".join(([extra] if extra else []) + [f"{name} {types[name]}" for name in names])


CACHE_SCHEMA = schema_of(IMAGE_FIELDS + ATTEMPT_FIELDS, "key string")
FAILURE_SCHEMA = schema_of(("status", "error", *ATTEMPT_FIELDS), "key string")


def arrow_schema(ddl: str) -> pa.Schema:
    """The Arrow schema of a flat Spark DDL; Spark's own parser is not at hand in a task."""
    return pa.schema([(name, _ARROW[kind]) for name, kind in columns_of(ddl).items()])


def record_batch(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    """Rows as one Arrow batch; what a row lacks is null."""
    columns = [pa.array([row.get(field.name) for row in rows], type=field.type) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def image_columns(image: NormalisedImage) -> dict[str, Any]:
    return asdict(image)
