"""Hostile tables, images and names on their way into one dataset: nobody crashes or waits, each row has an end, and sums are right."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

import pytest
from pyspark.sql import Row, SparkSession

from hostile_images import GOOD, MAX_PIXELS, Hostile, hostile_images
from hostile_tables import HEADER, hostile_tables
from http_server import response, scripted
from slotwise.contracts.dataset import DatasetRecord
from slotwise.pipelines import prepare
from slotwise.settings.prepare import PrepareSettings

CLASSES = [
    "../../../../etc/cron.d/x",
    "/etc/passwd",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    '=HYPERLINK("http://evil")',
    "$\\frac{1",
    "\x1b[2J\x07 and\nlines",
    "n" * 5_000,
]
PASSWORD = "hunter2"


class Prepared(NamedTuple):
    """A finished dataset, with what went in and what was said."""

    place: Path
    """Of the dataset's directory: all that may have been written to."""
    record: DatasetRecord
    rows: list[Row]
    images: dict[str, Hostile]
    """By the id of their row."""
    said: str


@pytest.fixture(scope="module")
def prepared(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    place = tmp_path_factory.mktemp("hostile") / "inner"
    (place / "tables").mkdir(parents=True)
    images = {f"/{number}": hostile for number, hostile in enumerate(hostile_images())}
    with scripted({path: _answer(hostile.data) for path, hostile in images.items()}) as server, pytest.MonkeyPatch.context() as patch:
        for table in hostile_tables():
            if table.rows is not None:
                (place / "tables" / table.name).write_bytes(table.data)
        text = io.StringIO()
        csv.writer(text).writerows([hostile.name, f"http://covers.example{path}", CLASSES[number % len(CLASSES)]] for number, (path, hostile) in enumerate(images.items()))
        (place / "tables" / "999 images.csv").write_bytes(HEADER + text.getvalue().encode())
        patterns = [re.sub(r"[\x00-\x1f*?]", "?", name[:12]) + "*" for name in CLASSES]
        settings = PrepareSettings(
            source="covers", input=str(place / "tables"), dataset=str(place / "dataset"), image_size=(8, 8), logical_shards=2, classes=len(CLASSES),
            class_pattern=patterns, balance="none", max_pixels=MAX_PIXELS, max_failed=1.0,
            mirror=[f"http://covers.example={server.url.replace('//', f'//user:{PASSWORD}@')}"],
        )  # fmt: skip
        said = io.StringIO()
        patch.setattr("sys.stdout", said)
        record = prepare.run(settings, spark)
        rows = spark.read.parquet(str(place / "dataset" / "rows")).orderBy("row").collect()
    return Prepared(place, record, rows, {_id(f"http://covers.example{path}"): hostile for path, hostile in images.items()}, said.getvalue())


def _answer(data: bytes) -> Callable[[int], Iterator[bytes]]:
    return lambda attempt: iter([response(200, data)])


def _id(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()[:16]


def test_sums_are_right(prepared: Prepared) -> None:
    accounting = prepared.record.accounting
    tables = sum(table.rows or 0 for table in hostile_tables())
    assert accounting.balanced()
    assert accounting.rows == len(prepared.rows) == tables + len(prepared.images)
    assert accounting.used == sum(split.samples for split in prepared.record.splits.values()) > 25
    assert [row["row"] for row in prepared.rows] == list(range(accounting.rows))


def test_each_image_has_an_end_that_is_right_for_it(prepared: Prepared) -> None:
    ends = {row["id"]: row["status"] for row in prepared.rows if row["id"] in prepared.images}
    assert len(ends) == len(prepared.images)
    wrong = {}
    for name, status in ends.items():
        end = GOOD if status in ("used", "spare", "identical-image") else status
        if end not in prepared.images[name].ends:
            wrong[prepared.images[name].name] = status
    assert not wrong


def test_an_odd_row_is_one_row_and_its_neighbours_stay_what_they_are(prepared: Prepared) -> None:
    first = 0
    for table in sorted((table for table in hostile_tables() if table.rows is not None), key=lambda table: table.name):
        number = table.rows or 0
        for at, url, label in ((first, 1, "Art"), (first + number - 1, 2, "Poetry")) if number else ():
            row = prepared.rows[at]
            assert (row["id"], row["label"]) == (_id(f"http://127.0.0.1:9/{url}.jpg"), label), table.name
        first += number


def test_names_that_try_to_leave_the_dataset_are_names(prepared: Prepared) -> None:
    assert sorted(prepared.record.classes) == sorted(CLASSES)
    assert {path.name for path in prepared.place.parent.iterdir()} == {"inner"}
    assert {path.name for path in prepared.place.iterdir() if not path.name.startswith(".")} == {"tables", "dataset"}
    assert {path.name for path in (prepared.place / "dataset").iterdir()} == {"dataset.json", "explore", "rows", "train", "validation", "test"}
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", prepared.said), "nobody steers the terminal"


def test_names_are_text_in_the_report(prepared: Prepared) -> None:
    report = (prepared.place / "dataset" / "explore" / "report.html").read_text()
    found = _Page(report).found
    assert not [tag for tag, names in found if tag in ("script", "img", "iframe", "object", "link") or any(name.startswith("on") for name in names)]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in report


def test_a_password_in_a_mirror_is_in_no_file_and_no_line(prepared: Prepared) -> None:
    mirror = prepared.record.settings["mirror"][0]
    assert mirror.startswith("http://covers.example=http://***@127.0.0.1:")
    texts = {name: (prepared.place / "dataset" / name).read_text() for name in ("dataset.json", "explore/explore.json", "explore/report.html")}
    assert [name for name, text in texts.items() if PASSWORD in text] == []
    assert PASSWORD not in prepared.said
    assert not [row for row in prepared.rows if PASSWORD in (row["error"] or "")]
    json.loads(texts["explore/explore.json"])


class _Page(HTMLParser):
    """Elements and their attributes' names of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(name for name, _ in attrs)))
