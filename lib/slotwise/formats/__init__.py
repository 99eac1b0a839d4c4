"""The file formats of a shard by name; each module owns both writing and reading."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import NamedTuple, Protocol

from slotwise.contracts.sample import Sample
from slotwise.formats import parquet, tfrecord


class ShardWriter(Protocol):
    """Writes samples into one local file; used as a context manager."""

    def write(self, sample: Sample) -> None: ...

    def __enter__(self) -> ShardWriter: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class ShardFormat(NamedTuple):
    extension: str
    writer: Callable[[str], ShardWriter]
    read: Callable[[str], Iterator[Sample]]


FORMATS: dict[str, ShardFormat] = {
    "tfrecord": ShardFormat("tfrecord", tfrecord.Writer, tfrecord.read),
    "parquet": ShardFormat("parquet", parquet.Writer, parquet.read),
}
