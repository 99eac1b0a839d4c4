"""A slot's own shards on its own machine: fetched once, verified against the dataset's checksums, always as TFRecord."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence

from slotwise import storage
from slotwise.contracts.dataset import DatasetRecord, ShardRecord
from slotwise.contracts.paths import DatasetPaths
from slotwise.errors import DataError
from slotwise.formats import FORMATS, tfrecord


def local_shards(dataset: str, record: DatasetRecord, split: str, shards: Sequence[int], cache: str) -> list[str]:
    """Local paths of logical shards, in the order asked for.

    A TFRecord shard that is already a local file is used where it lies. Others are kept in `cache` under their
    checksum, so that any number of runs fetch them once.

    Raises:
        DataError: a shard is missing or its SHA-256 is not the recorded one.
    """
    return [_local_shard(dataset, record.format, record.splits[split].shards[shard], cache) for shard in shards]


def _local_shard(dataset: str, format_name: str, shard: ShardRecord, cache: str) -> str:
    uri = DatasetPaths(dataset).shard(shard.file)
    if storage.is_local(uri) and format_name == "tfrecord":
        path = storage.local_path(uri)
        if not os.path.exists(path):
            raise DataError(f"{uri} does not exist")
        _check(uri, storage.file_sha256(path), shard)
        return path
    cached = os.path.join(cache, f"{shard.sha256}.tfrecord")
    if not os.path.exists(cached):
        fetched = os.path.join(cache, f"{shard.sha256}.{uuid.uuid4().hex[:12]}.fetched")
        try:
            _check(uri, storage.download(uri, fetched), shard)
            _as_tfrecord(fetched, format_name, cached)
        finally:
            if os.path.exists(fetched):
                os.remove(fetched)
    return cached


def _check(uri: str, found: str, shard: ShardRecord) -> None:
    if found != shard.sha256:
        raise DataError(f"The shard {uri} is damaged: its checksum (SHA-256) is {found}, dataset.json says {shard.sha256}. Prepare the dataset again with --overwrite")


def _as_tfrecord(fetched: str, format_name: str, target: str) -> None:
    """Puts a fetched shard in place as TFRecord, the form that native tf.data operations read."""
    if format_name == "tfrecord":
        os.replace(fetched, target)
        return
    scratch = f"{target}.{uuid.uuid4().hex[:12]}.tmp"
    with tfrecord.Writer(scratch) as writer:
        for sample in FORMATS[format_name].read(fetched):
            writer.write(sample)
    os.replace(scratch, target)
