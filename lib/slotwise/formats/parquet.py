"""Parquet shards that plain `petastorm.make_reader` decodes; petastorm itself is needed only to write their metadata."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from slotwise import storage
from slotwise.contracts.sample import Sample
from slotwise.errors import UsageError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

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


@contextmanager
def materialize(spark: SparkSession, uri: str, image_size: tuple[int, int]) -> Iterator[None]:
    """Runs petastorm's `materialize_dataset` around the writing of shards below `uri`.

    On leaving it, `_common_metadata` holds the schema (id, label, image of uint8 [height, width, 3]) and the row groups.

    Raises:
        UsageError: petastorm is not installed.
    """
    try:
        from petastorm.etl.dataset_metadata import materialize_dataset
    except ImportError as error:
        raise UsageError("Parquet datasets need petastorm", received=f"not importable: {error}", accepted="pip install 'slotwise[petastorm]', or --format tfrecord") from error
    # Petastorm's own way to HDFS is libhdfs, a native library that neither Spark nor pip brings.
    with materialize_dataset(spark, uri, _unischema(image_size), filesystem_factory=partial(_petastorm_filesystem, uri)):
        yield


def _petastorm_filesystem(uri: str) -> Any:
    return storage.filesystem(uri)[0]


def _unischema(image_size: tuple[int, int]) -> Any:
    import numpy as np
    from petastorm.codecs import CompressedImageCodec, ScalarCodec
    from petastorm.unischema import Unischema, UnischemaField
    from pyspark.sql.types import LongType, StringType

    height, width = image_size
    return Unischema(
        "Sample",
        [
            UnischemaField("id", np.str_, (), ScalarCodec(StringType()), False),
            UnischemaField("label", np.int64, (), ScalarCodec(LongType()), False),
            UnischemaField("image", np.uint8, (height, width, 3), CompressedImageCodec("jpeg"), False),
        ],
    )
