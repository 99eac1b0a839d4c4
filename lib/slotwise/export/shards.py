"""The export stage: each logical shard is one file, written by one task, images shuffled once."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

from slotwise import storage
from slotwise.contracts.catalogue import SPLITS
from slotwise.contracts.dataset import ShardRecord
from slotwise.contracts.paths import shard_file
from slotwise.contracts.sample import Sample
from slotwise.errors import DataError
from slotwise.export import petastorm
from slotwise.formats import FORMATS
from slotwise.formats.ddl import arrow_schema, record_batch
from slotwise.settings.prepare import PrepareSettings

_SHARD_SCHEMA = "split string, shard int, file string, samples long, bytes long, sha256 string"


def export(spark: SparkSession, samples: DataFrame, images: DataFrame, target: str, settings: PrepareSettings) -> dict[str, list[ShardRecord]]:
    """Writes `samples` (sample_id, id, label_index, split, shard, position) with their bytes from `images` (id, image).

    Args:
        target: URI of the dataset directory; nobody reads it yet.
        settings: resolved.

    Returns:
        for each split its shards in order; empty shards are files too.

    Raises:
        DataError: samples were lost on the way.
    """
    logical_shards, format_name, image_size = settings.logical_shards, settings.format, settings.image_size
    assert image_size is not None
    image_shape = image_size if settings.channels == 1 else (*image_size, settings.channels)
    # The samples are narrow and go to every task, so that the images cross the cluster once: to their shard's task.
    decided = Observation()
    samples = samples.observe(decided, F.count(F.lit(1)).alias("samples"))
    rows = (
        images.join(F.broadcast(samples), "id", "inner")
        .select("split", "shard", "position", "sample_id", "label_index", "image")
        .repartition(_partitions(spark, logical_shards), "split", "shard")
        .sortWithinPartitions("split", "shard", "position")
    )
    with ExitStack() as stack:
        if format_name == "parquet":
            for split in SPLITS:
                stack.enter_context(petastorm.materialize(spark, storage.join(target, split), image_shape))
        written = rows.mapInArrow(partial(_write_partition, target=target, format_name=format_name), _SHARD_SCHEMA).collect()
        shards = {(row["split"], row["shard"]): ShardRecord(file=row["file"], samples=row["samples"], bytes=row["bytes"], sha256=row["sha256"]) for row in written}
        for split in SPLITS:
            for shard in range(logical_shards):
                if (split, shard) not in shards:
                    shards[split, shard] = _write_shard(split, shard, [], target, format_name)
    expected = decided.get["samples"]
    found = sum(shard.samples for shard in shards.values())
    if found != expected:
        raise DataError(f"The samples do not add up: {found} samples were written instead of {expected}, and the dataset was not put in place. Files that were removed from the image cache meanwhile would explain it")
    return {split: [shards[split, shard] for shard in range(logical_shards)] for split in SPLITS}


def _partitions(spark: SparkSession, logical_shards: int) -> int:
    """A few tasks for each core, so that a large shard does not leave the others waiting."""
    return min(len(SPLITS) * logical_shards, 4 * spark.sparkContext.defaultParallelism)


def _write_partition(batches: Iterable[pa.RecordBatch], target: str, format_name: str) -> Iterator[pa.RecordBatch]:
    """Writes the shards of one partition, which come one after the other, a row in memory at a time."""
    rows = _Rows(batches)
    while rows.key is not None:
        split, shard = rows.key
        record = _write_shard(split, shard, rows.of_current_shard(), target, format_name)
        yield record_batch([{"split": split, "shard": shard, **record.model_dump()}], arrow_schema(_SHARD_SCHEMA))


class _Rows:
    """Rows of Arrow batches with a look at the next one's shard."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self._rows = (row for batch in batches for row in _python_rows(batch))
        self._next: Any = next(self._rows, None)

    @property
    def key(self) -> tuple[str, int] | None:
        return None if self._next is None else (self._next[0], self._next[1])

    def of_current_shard(self) -> Iterator[Sample]:
        key = self.key
        while self._next is not None and self.key == key:
            _, _, _, sample_id, label, image = self._next
            self._next = next(self._rows, None)
            yield Sample(sample_id, label, image)


def _python_rows(batch: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    return zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _write_shard(split: str, shard: int, samples: Iterable[Sample], target: str, format_name: str) -> ShardRecord:
    """Writes one shard to a local file, uploads it whole, and reads it back.

    Raises:
        DataError: the storage holds other bytes than were written.
    """
    shard_format = FORMATS[format_name]
    file = shard_file(split, shard, shard_format.extension)
    with tempfile.TemporaryDirectory(prefix="slotwise-export-") as scratch:
        local = os.path.join(scratch, os.path.basename(file))
        count = 0
        with shard_format.writer(local) as writer:
            for sample in samples:
                writer.write(sample)
                count += 1
        record = ShardRecord(file=file, samples=count, bytes=os.path.getsize(local), sha256=storage.file_sha256(local))
        storage.upload(local, storage.join(target, file))
    written = storage.sha256(storage.join(target, file))
    if written != record.sha256:
        raise DataError(f"{storage.join(target, file)} reads back with SHA-256 {written} instead of {record.sha256}")
    return record
