"""Flat Spark DDL as names, as an Arrow schema, and as batches of rows; Spark's own parser is not at hand in a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

_SIMPLE = {"string": pa.string(), "binary": pa.binary(), "int": pa.int32(), "long": pa.int64(), "double": pa.float64()}
_ARROW = {**_SIMPLE, **{f"array<{name}>": pa.list_(kind) for name, kind in _SIMPLE.items()}}


def columns_of(ddl: str) -> dict[str, str]:
    """Names and types of a flat Spark DDL."""
    return dict(part.split(" ") for part in ddl.split(", "))


def arrow_schema(ddl: str) -> pa.Schema:
    """The Arrow schema of a flat Spark DDL."""
    return pa.schema([(name, _ARROW[kind]) for name, kind in columns_of(ddl).items()])


def record_batch(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    """Rows as one Arrow batch; what a row lacks is null."""
    columns = [pa.array([row.get(field.name) for row in rows], type=field.type) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
