"""The image cache: Parquet chunks of normalised images below CACHE/HEIGHTxWIDTH, keyed by the SHA-256 of their URL."""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from slotwise import storage
from slotwise.download.records import CACHE_SCHEMA
from slotwise.formats.ddl import arrow_schema, record_batch

CHUNK_IMAGES = 500
CHUNK_BYTES = 32 * 1024 * 1024
CHUNK_SECONDS = 30.0


def directory(cache: str, image_size: tuple[int, int]) -> str:
    """Where images of one size (height, width) are kept."""
    height, width = image_size
    return storage.join(cache, f"{height}x{width}")


def key_column(url: Column | str) -> Column:
    return F.sha2((F.col(url) if isinstance(url, str) else url).cast("binary"), 256)


def read(spark: SparkSession, uri: str) -> DataFrame:
    """All that is in a cache directory: CACHE_SCHEMA and `file`, the chunk's name; a key may be in several chunks, but once in each."""
    storage.make_directory(uri)
    rows = spark.read.schema(CACHE_SCHEMA).parquet(storage.for_spark(uri, pattern=True))
    return rows.select("*", F.col("_metadata.file_name").alias("file"))


class ChunkWriter:
    """Collects rows of CACHE_SCHEMA and writes them as a chunk when they are many, large or half a minute old.

    A chunk appears whole or not at all, so that a killed job loses no more than the last chunk of each task. Each method returns the name
    of the chunk that it has written, which has all rows since the one before, None where it has written none.
    """

    def __init__(self, uri: str, *, images: int = CHUNK_IMAGES, size: int = CHUNK_BYTES, seconds: float = CHUNK_SECONDS) -> None:
        self._uri = uri
        self._limits = (images, size, seconds)
        self._schema: pa.Schema = arrow_schema(CACHE_SCHEMA)
        self._start()

    def _start(self) -> None:
        self._rows: list[Mapping[str, Any]] = []
        self._size = 0
        self._since = time.monotonic()

    def add(self, row: Mapping[str, Any]) -> str | None:
        if not self._rows:
            self._since = time.monotonic()
        self._rows.append(row)
        self._size += len(row["image"])
        return self.flush_if_due()

    def flush_if_due(self) -> str | None:
        images, size, seconds = self._limits
        is_due = len(self._rows) >= images or self._size >= size or time.monotonic() - self._since >= seconds
        return self.flush() if is_due else None

    def flush(self) -> str | None:
        """Writes what has been collected.

        Raises:
            DataError: the storage cannot be used.
        """
        if not self._rows:
            return None
        name = f"{uuid.uuid4().hex}.parquet"
        with tempfile.TemporaryDirectory(prefix="slotwise-cache-") as scratch:
            local = os.path.join(scratch, "chunk.parquet")
            # JPEG bytes do not compress, and without a dictionary they are not compared with each other either.
            pq.write_table(pa.Table.from_batches([record_batch(self._rows, self._schema)]), local, compression="none", use_dictionary=False)
            storage.upload(local, storage.join(self._uri, name))
        self._start()
        return name
