"""Parquet shards with the columns that petastorm's schema names; its metadata is the export stage's."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from slotwise.contracts.sample import Sample

# A reader decodes a row group at a time, so its size bounds a reader's memory.
ROW_GROUP_BYTES = 4 * 1024 * 1024

_SCHEMA = pa.schema([("id", pa.string()), ("label", pa.int64()), ("image", pa.binary())])


class Writer:
    """Writes samples to one local Parquet file with row groups of about `ROW_GROUP_BYTES`."""

    def __init__(self, path: str) -> None:
        # The images are JPEG: compressing them again costs time and saves nothing.
        self._file = pq.ParquetWriter(path, _SCHEMA, compression="none")
        self._pending: list[Sample] = []
        self._pending_bytes = 0

    def write(self, sample: Sample) -> None:
        self._pending.append(sample)
        self._pending_bytes += len(sample.image)
        if self._pending_bytes >= ROW_GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            columns = [pa.array(column, field.type) for column, field in zip(zip(*self._pending, strict=True), _SCHEMA, strict=True)]
            self._file.write_table(pa.Table.from_arrays(columns, schema=_SCHEMA))
        self._pending, self._pending_bytes = [], 0

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            self._flush()
        self._file.close()


def read(path: str) -> Iterator[Sample]:
    """The samples of a local file, in order, a row group in memory at a time."""
    for batch in pq.ParquetFile(path).iter_batches(columns=_SCHEMA.names, batch_size=256):
        yield from map(Sample._make, zip(*(column.to_pylist() for column in batch.columns), strict=True))
