"""What tests look at in a prepared dataset: how each row ended, whether record, table and shards say the same, what is left over."""

from __future__ import annotations

import ast
import csv
import gzip
import io
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from slotwise import storage
from slotwise.contracts.catalogue import FETCH_FAILURES, SPLITS
from slotwise.contracts.dataset import DatasetRecord, check_files
from slotwise.formats import FORMATS
from slotwise.sources.demo.faults import FAILURES, fault_of
from slotwise.sources.demo.server import image_id_of

FETCH_STATUSES = {status.value for status in FETCH_FAILURES}


def rows_of(dataset: str, scratch: Path) -> list[dict[str, Any]]:
    """The table of how each input row ended, in input order, read without Spark; each row must be there once."""
    directory = scratch / "rows"
    uri = storage.join(storage.normalise(dataset), "rows")
    for name in storage.children(uri):
        if name.endswith(".parquet"):
            storage.download(storage.join(uri, name), str(directory / name))
    rows = sorted(pq.read_table(directory).to_pylist(), key=lambda row: row["row"])
    assert [row["row"] for row in rows] == list(range(len(rows)))
    return rows


def check_sums(record: DatasetRecord, dataset: str, rows: list[dict[str, Any]]) -> None:
    """What the record, the table of rows and the shards say is the same."""
    check_files(dataset, record)
    statuses = Counter(row["status"] for row in rows)
    accounting = record.accounting
    assert accounting.balanced()
    assert statuses == Counter({"used": accounting.used, "spare": accounting.spare, **accounting.set_aside})
    for split in SPLITS:
        samples = record.splits[split].samples
        assert samples == sum(shard.samples for shard in record.splits[split].shards) == sum(record.splits[split].class_counts)
        assert samples == sum(row["split"] == split for row in rows)


def samples_in(dataset: str, record: DatasetRecord, split: str, scratch: Path) -> dict[bytes, str]:
    """Image bytes and class of each sample of a split."""
    files = []
    for shard in record.splits[split].shards:
        files.append(str(scratch / shard.file))
        storage.download(storage.join(dataset, shard.file), files[-1])
    return {sample.image: record.classes[sample.label] for file in files for sample in FORMATS[record.format].read(file)}


def leftovers(directory: str) -> list[str]:
    return [name for name in storage.children(directory) if ".tmp" in name]


def check_faults(rows: list[dict[str, Any]], catalogue: bytes) -> None:
    """Each row ended as the server's fault for its book makes it end."""
    books = list(csv.DictReader(io.StringIO(gzip.decompress(catalogue).decode())))
    assert len(books) == len(rows)
    seen = Counter()
    for row, book in zip(rows, books, strict=True):
        status = row["status"]
        if not book["image"]:
            assert status == "missing-image"
            continue
        fault = fault_of(image_id_of(book["image"]))
        if status in FETCH_STATUSES:
            assert FAILURES[fault].value == status
            assert row["error"]
            seen[fault] += 1
        elif status == "used":
            assert fault not in FAILURES
            assert row["label"] == ast.literal_eval(book["categories"])[0]
    assert seen, "no fault was met: take a larger demo"
