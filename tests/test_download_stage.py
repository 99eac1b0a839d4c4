"""The download stage on Spark: one row out for each row in, a cache that spares requests, bounded and polite tasks."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pyspark.sql import DataFrame, Row, SparkSession

from slotwise import storage
from slotwise.contracts.catalogue import GATHERED_SCHEMA, Status
from slotwise.download import cache
from slotwise.download.progress import reported
from slotwise.download.stage import Outcome, gather_bytes, gather_urls, shares
from slotwise.settings.prepare import PrepareSettings
from slotwise.sources.demo.faults import FAILURES, FAULTS
from slotwise.sources.demo.server import FaultyServer

CANDIDATES = "id string, label string, url string, split string"
COLUMNS = [part.split(" ")[0] for part in GATHERED_SCHEMA.split(", ")]


def jpeg(name: str) -> bytes:
    content = io.BytesIO()
    seed = sum(name.encode())
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)).resize((60, 90)).save(content, "JPEG")
    return content.getvalue()


def settings_for(place: Path, **changes: Any) -> PrepareSettings:
    values = {"input": "x.csv", "source": "covers", "image_size": (30, 20), "cache": str(place / "cache with space"), "threads": 8, "per_host": 12}
    values |= {"read_timeout": 0.4, "total_timeout": 2.0, "retries": 1, "allow_addresses": ["127.0.0.0/8"]}
    return PrepareSettings(**{**values, **changes}).resolved()


def candidates(spark: SparkSession, urls: dict[str, str]) -> DataFrame:
    return spark.createDataFrame([(name, f"label {name[0]}", url, None) for name, url in urls.items()], CANDIDATES)


def gathered(spark: SparkSession, urls: dict[str, str], settings: PrepareSettings, staging: Path) -> dict[str, Row]:
    found = gather_urls(spark, candidates(spark, urls), len(urls), settings, staging.as_uri())
    rows = found.rows.select(*COLUMNS).join(found.images, "id", "left").collect()
    assert len(rows) == len(urls)
    return {row["id"]: row for row in rows}


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyServer]:
    faults = {name: name for name in FAULTS if name != "none"}
    with FaultyServer(jpeg, faults, slow_seconds=0.05, stall_seconds=1.0) as running:
        yield running


def test_every_candidate_has_one_row_and_a_second_run_asks_for_failures_only(spark: SparkSession, server: FaultyServer, tmp_path: Path) -> None:
    names = [*FAULTS, *(f"good{number}" for number in range(60))]
    urls = {name: f"http://covers.example/{name}.jpg" for name in names}
    settings = settings_for(tmp_path, mirror=[f"http://covers.example={server.url}"])
    first = gathered(spark, urls, settings, tmp_path / "first")
    assert {name: row["status"] for name, row in first.items()} == {name: FAILURES[name].value if name in FAILURES else None for name in names}
    for name, row in first.items():
        assert row["label"] == f"label {name[0]}"
        assert (row["image"] is None) == (row["error"] is not None) == (row["status"] is not None)
        if row["image"]:
            assert Image.open(io.BytesIO(row["image"])).size == (20, 30)
            assert len(row["picture"]) == 64
    asked = dict(server.requests)
    second = gathered(spark, urls, settings, tmp_path / "second")
    again = {name for name in names if server.requests[name] != asked[name]}
    assert again == set(FAILURES)
    assert {name: row["image"] for name, row in second.items()} == {name: row["image"] for name, row in first.items()}
    # What is known of a cached image is what its task has said.
    assert [second[name] for name in names if name not in again] == [first[name] for name in names if name not in again]


def test_with_everything_cached_no_request_is_made_and_another_size_is_fetched_anew(spark: SparkSession, server: FaultyServer, tmp_path: Path) -> None:
    urls = {f"cached{number}": f"{server.url}/cached{number}.jpg" for number in range(5)}
    gathered(spark, urls, settings_for(tmp_path), tmp_path / "first")
    before = server.requests.total()
    assert gather_urls(spark, candidates(spark, urls), len(urls), settings_for(tmp_path), (tmp_path / "second").as_uri()).outcome == Outcome(5, {})
    assert server.requests.total() == before
    gathered(spark, urls, settings_for(tmp_path, image_size=(10, 10)), tmp_path / "third")
    assert server.requests.total() == before + 5


def test_a_url_cached_twice_gives_one_row(spark: SparkSession, server: FaultyServer, tmp_path: Path) -> None:
    urls = {"twice": f"{server.url}/twice.jpg", "once": f"{server.url}/once.jpg"}
    settings = settings_for(tmp_path)
    gathered(spark, urls, settings, tmp_path / "first")
    kept = cache.directory(str(settings.cache), (30, 20))
    chunk = storage.join(kept, next(name for name in storage.children(kept) if name.endswith(".parquet")))
    storage.write_bytes(storage.join(kept, "0000.parquet"), storage.read_bytes(chunk))
    storage.write_bytes(storage.join(kept, ".unfinished.parquet.tmp"), b"half a chunk")
    assert set(gathered(spark, urls, settings, tmp_path / "second")) == set(urls)


def test_outcome_counts_by_status(spark: SparkSession, server: FaultyServer, tmp_path: Path) -> None:
    urls = {name: f"{server.url}/{name}.jpg" for name in ("a", "b", "not-found", "html-as-jpeg")}
    urls["bad"] = "ftp://nowhere/x.jpg"
    urls["inside"] = "http://169.254.169.254/latest/meta-data"
    found = gather_urls(spark, candidates(spark, urls), len(urls), settings_for(tmp_path), (tmp_path / "staging").as_uri()).outcome
    assert found.attempted == 6
    assert found.failed == {Status.BAD_URL.value: 1, Status.FORBIDDEN_ADDRESS.value: 1, Status.HTTP_ERROR.value: 1, Status.NOT_AN_IMAGE.value: 1}
    assert found.failed_share == pytest.approx(4 / 6)


def test_progress_is_said(spark: SparkSession, server: FaultyServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    urls = {name: f"{server.url}/{name}.jpg" for name in ("p1", "p2", "not-found")}
    gathered(spark, urls, settings_for(tmp_path), tmp_path / "staging")
    assert re.search(r"^download 3/3, 2 good, 1 failed, [\d,]+ images/s$", capsys.readouterr().out, re.MULTILINE)


def test_before_a_task_has_ended_no_rate_is_said(spark: SparkSession) -> None:
    said: list[str] = []
    with reported(spark.sparkContext, "download", 3, every=0.01, say=said.append):
        time.sleep(0.2)
    assert said == ["download 0/3, 0 good, 0 failed"]


def test_bytes_are_normalised_once(spark: SparkSession, tmp_path: Path) -> None:
    good = jpeg("x")
    rows = [("a", "cat", "train", good), ("b", "dog", "test", b"<html>"), ("c", "cat", None, good + bytes(60_000)), ("d", "cat", None, None), ("e", "cat", None, good)]
    frame = spark.createDataFrame([(row_id, label, split, bytearray(data) if data is not None else None) for row_id, label, split, data in rows], "id string, label string, split string, image binary")
    before = spark.conf.get("spark.sql.execution.arrow.maxRecordsPerBatch")
    taken = gather_bytes(spark, frame, len(rows), settings_for(tmp_path, max_bytes=50_000), (tmp_path / "staging").as_uri())
    table = taken.rows
    found = {row["id"]: row for row in table.collect()}
    assert spark.conf.get("spark.sql.execution.arrow.maxRecordsPerBatch") == before
    assert table.columns == COLUMNS
    statuses = {name: row["status"] for name, row in found.items()}
    assert statuses == {"a": None, "b": Status.NOT_AN_IMAGE.value, "c": Status.TOO_LARGE.value, "d": Status.UNREADABLE.value, "e": None}
    assert taken.outcome == Outcome(5, {Status.NOT_AN_IMAGE.value: 1, Status.TOO_LARGE.value: 1, Status.UNREADABLE.value: 1})
    assert found["a"]["picture"] == found["e"]["picture"]
    assert (found["a"]["split"], found["b"]["split"], found["e"]["split"]) == ("train", "test", None)
    assert (found["a"]["source_width"], found["a"]["source_height"]) == (60, 90)


def test_chunks_are_written_by_number_size_and_age(tmp_path: Path) -> None:
    row = {"key": "k", "image": b"x" * 100, "picture": "p"}

    def chunks(name: str, rows: int, **limits: float) -> int:
        writer = cache.ChunkWriter((tmp_path / name).as_uri(), **limits)  # type: ignore[arg-type]
        for _ in range(rows):
            writer.add(row)
        writer.flush()
        writer.flush()
        return len(storage.children((tmp_path / name).as_uri()))

    assert chunks("number", 10, images=4) == 3
    assert chunks("size", 10, size=500) == 2
    assert chunks("age", 3, seconds=0) == 3
    assert chunks("none", 0) == 0


@pytest.mark.parametrize(("urls", "cores", "per_host", "expected"), [(100_000, 4, 32, (100, 8)), (1_600, 2, 32, (12, 16)), (20_000, 64, 8, (8, 1)), (3, 2, 32, (2, 16)), (0, 2, 32, (1, 16)), (1, 8, 4, (1, 1)), (100, 2, 1, (1, 1))])
def test_shares_keep_the_limit_per_host(urls: int, cores: int, per_host: int, expected: tuple[int, int]) -> None:
    tasks, share = shares(urls, cores, per_host)
    assert (tasks, share) == expected
    assert min(tasks, cores) * share <= per_host
