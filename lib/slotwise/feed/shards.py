"""A slot's own shards on its own machine: fetched once, verified against the dataset's checksums, always as TFRecord."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Sequence

from slotwise import storage
from slotwise.contracts.dataset import DatasetRecord, ShardRecord
from slotwise.contracts.paths import DatasetPaths
from slotwise.errors import DataError
from slotwise.formats import FORMATS, tfrecord

_ENDING = ".tfrecord"


def local_shards(dataset: str, record: DatasetRecord, split: str, shards: Sequence[int], cache: str | None = None) -> list[str]:
    """Local paths of logical shards, in the order asked for.

    A TFRecord shard that is already a local file is used where it lies. Others are kept in `cache` under their
    checksum, so that any number of runs fetch them once; unless named it is a directory of the user's among temporary files.

    Raises:
        DataError: a shard is missing, its SHA-256 is not the recorded one, or the cache has no room for it.
    """
    cache = cache or os.path.join(tempfile.gettempdir(), f"slotwise-shards-{os.getuid()}")
    return [_local_shard(dataset, record.format, record.splits[split].shards[shard], cache) for shard in shards]


def _local_shard(dataset: str, format_name: str, shard: ShardRecord, cache: str) -> str:
    uri = DatasetPaths(dataset).shard(shard.file)
    if storage.is_local(uri) and format_name == "tfrecord":
        path = storage.local_path(uri)
        if not os.path.exists(path):
            raise DataError(f"{uri} does not exist")
        _check(uri, storage.file_sha256(path), shard)
        return path
    return _cached(cache, shard) or _fetch(uri, format_name, shard, cache)


def _cached(cache: str, shard: ShardRecord) -> str | None:
    """The shard's local copy, if there is one and its bytes are still those that its name says; a damaged one is removed."""
    names = os.listdir(cache) if os.path.isdir(cache) else []
    for name in names:
        recorded, _, rest = name.partition(".")
        if recorded == shard.sha256 and rest.endswith(_ENDING):
            path = os.path.join(cache, name)
            if storage.file_sha256(path) == rest.removesuffix(_ENDING):
                return path
            os.remove(path)
    return None


def _fetch(uri: str, format_name: str, shard: ShardRecord, cache: str) -> str:
    """Copies a shard into the cache as TFRecord, named by its own checksum and that of the copy."""
    fetched = os.path.join(cache, f"{shard.sha256}.{uuid.uuid4().hex[:12]}.fetched")
    try:
        _check(uri, storage.download(uri, fetched), shard)
        if format_name != "tfrecord":
            _rewrite_as_tfrecord(fetched, format_name)
        cached = os.path.join(cache, f"{shard.sha256}.{storage.file_sha256(fetched)}{_ENDING}")
        os.replace(fetched, cached)
    except OSError as error:
        if error.errno is None:  # not of this machine's files
            raise
        raise DataError(
            f"The local cache {cache} cannot take the shard {uri} of {shard.bytes:,} bytes: {error.strerror}. "
            "Make room there, or name another directory with --local-cache"
        ) from error
    finally:
        for left in (fetched, _rewritten(fetched)):
            if os.path.exists(left):
                os.remove(left)
    return cached


def _rewrite_as_tfrecord(path: str, format_name: str) -> None:
    """Native tf.data operations read TFRecord alone."""
    with tfrecord.Writer(_rewritten(path)) as writer:
        for sample in FORMATS[format_name].read(path):
            writer.write(sample)
    os.replace(_rewritten(path), path)


def _rewritten(path: str) -> str:
    return f"{path}.rewritten"


def _check(uri: str, found: str, shard: ShardRecord) -> None:
    if found != shard.sha256:
        raise DataError(f"The shard {uri} is damaged: its checksum (SHA-256) is {found}, dataset.json says {shard.sha256}. Prepare the dataset again with --overwrite")

