"""What one Spark task of the download stage does with its rows: fetch or take bytes, normalise, pass on."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa

from slotwise.contracts.catalogue import Status
from slotwise.download.cache import ChunkWriter
from slotwise.download.connections import Connections
from slotwise.download.fetch import Fetched, FetchOptions, fetch, host_of
from slotwise.download.polite import map_politely
from slotwise.download.progress import Counters
from slotwise.download.records import FETCHED_SCHEMA, NORMALISED_SCHEMA, image_columns
from slotwise.formats.ddl import arrow_schema, record_batch
from slotwise.imaging import ImageFailure, NormalisedImage, normalise

_FAILURES_A_BATCH = 200
_BYTES_A_BATCH = 16 * 1024 * 1024


class Wanted(NamedTuple):
    """A row that is to be fetched."""

    id: str
    label: str
    split: str | None
    key: str
    url: str


@dataclass(frozen=True)
class FetchTask:
    """Fetches rows, with the columns of `Wanted`, into the cache directory `target`, and says what became of each as FETCHED_SCHEMA."""

    target: str
    height: int
    width: int
    max_pixels: int
    options: FetchOptions
    threads: int
    per_host: int
    """Connections of this task to one host at a time."""
    counters: Counters

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        # Of what is imported nothing is garbage, and pyspark would look through all of it after each task.
        gc.freeze()
        connections = Connections(self.threads, self.options.allowed)
        schema = arrow_schema(FETCHED_SCHEMA)
        writer = ChunkWriter(self.target)
        kept: list[dict[str, Any]] = []
        failed: list[dict[str, Any]] = []

        results = map_politely(
            lambda row: fetch(connections, row.url, self.options),
            _rows(batches),
            lambda row: host_of(self.options.mirrored(row.url)),
            threads=self.threads,
            per_host=self.per_host,
        )
        for row, fetched in results:
            # The threads wait for servers and the task decodes: a task has one core, and many threads that decode on it spoil each other's caches.
            image = None if fetched.body is None else normalise(fetched.body, height=self.height, width=self.width, max_pixels=self.max_pixels)
            end = {**row._asdict(), "attempts": fetched.attempts, "seconds": fetched.seconds}
            if isinstance(image, NormalisedImage):
                end |= image_columns(image)
                kept.append(end)
                chunk = writer.add(end)
                self.counters.good.add(1)
            else:
                failed.append({**end, **_failure(fetched, image)})
                chunk = writer.flush_if_due()
                self.counters.failed.add(1)
            if chunk:
                yield record_batch([{**end, "file": chunk} for end in kept], schema)
                kept = []
            if len(failed) == _FAILURES_A_BATCH:
                yield record_batch(failed, schema)
                failed = []
        last = writer.flush()
        connections.close()
        yield record_batch([*({**end, "file": last} for end in kept), *failed], schema)


def _rows(batches: Iterable[pa.RecordBatch]) -> Iterator[Wanted]:
    for batch in batches:
        yield from map(Wanted, *(batch.column(name).to_pylist() for name in Wanted._fields))


def _failure(fetched: Fetched, image: ImageFailure | None) -> dict[str, Any]:
    if image is not None:
        return {"status": image.status.value, "error": image.error}
    assert fetched.status is not None
    return {"status": fetched.status.value, "error": fetched.error}


@dataclass(frozen=True)
class NormaliseTask:
    """Normalises (id, label, split, size, image) rows to NORMALISED_SCHEMA; `image` is null where `size` is over the limit."""

    height: int
    width: int
    channels: int
    max_pixels: int
    max_bytes: int
    counters: Counters

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        schema = arrow_schema(NORMALISED_SCHEMA)
        rows: list[Mapping[str, Any]] = []
        held = 0
        for batch in batches:
            for row_id, label, split, size, data in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                columns = self._columns(data, size)
                rows.append({"id": row_id, "label": label, "split": split, "attempts": 0, "seconds": 0.0, **columns})
                held += len(columns.get("image", b""))
                (self.counters.good if "image" in columns else self.counters.failed).add(1)
                if held > _BYTES_A_BATCH:
                    yield record_batch(rows, schema)
                    rows, held = [], 0
        yield record_batch(rows, schema)

    def _columns(self, data: bytes | None, size: int | None) -> dict[str, Any]:
        if data is None:
            if size is None:
                return {"status": Status.UNREADABLE.value, "error": "no bytes"}
            return {"status": Status.TOO_LARGE.value, "error": f"{size} bytes are more than {self.max_bytes}"}
        image = normalise(data, height=self.height, width=self.width, channels=self.channels, max_pixels=self.max_pixels)
        if isinstance(image, ImageFailure):
            return {"status": image.status.value, "error": image.error}
        return image_columns(image)
