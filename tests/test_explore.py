"""The numbers of the exploration are right, and its page stands alone and is safe."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from slotwise import storage
from slotwise.contracts.catalogue import CATALOGUE_SCHEMA, GATHERED_SCHEMA
from slotwise.explore import ExploreResult, explore, write

HOSTILE = "<script>alert('$x$')</script> & \"猫\" {{ 7*7 }}"


def gathered_row(number: int, label: str, **changes: Any) -> tuple[Any, ...]:
    values: dict[str, Any] = {
        "id": f"id{number:04d}",
        "label": label,
        "image": bytearray(b"jpeg"),
        "picture": f"picture{number}",
        "source_format": "JPEG" if number % 4 else "PNG",
        "source_mode": "RGB" if number % 5 else "CMYK",
        "source_width": 100 + number,
        "source_height": 200,
        "source_bytes": 1000 + number,
        "brightness": float(number),
        "contrast": 50.0,
        "pixel_min": 3,
        "pixel_max": 200 + number % 50,
        "attempts": 1,
        "seconds": 0.1,
        **changes,
    }
    return tuple(values.get(part.split(" ")[0]) for part in GATHERED_SCHEMA.split(", "))


@pytest.fixture(scope="module")
def gathered(spark: SparkSession) -> DataFrame:
    rows = [gathered_row(number, "cat" if number < 60 else HOSTILE) for number in range(100)]
    rows += [gathered_row(number, "cat", picture="picture7") for number in (100, 101)]
    rows += [gathered_row(number, HOSTILE, picture="picture99") for number in (102,)]
    empty = dict.fromkeys(("image", "picture", "source_format", "source_mode", "source_width", "source_height", "source_bytes", "brightness", "contrast", "pixel_min", "pixel_max"))
    rows += [gathered_row(number, "cat", status="http-error", error="HTTP 404", **empty) for number in range(200, 205)]
    return spark.createDataFrame(rows, GATHERED_SCHEMA)


@pytest.fixture(scope="module")
def result(spark: SparkSession, gathered: DataFrame) -> ExploreResult:
    sizes = {"cat": 400, HOSTILE: 300, **{f"small {number:03d}": 1 + number % 3 for number in range(300)}}
    labels = [label for label, size in sizes.items() for _ in range(size)]
    statuses = [None, "spare", "other-category"]
    rows = [(row, f"id{row}", label, "http://x", None, None, statuses[row % 3], None) for row, label in enumerate(labels)]
    rows += [(len(rows) + extra, "x", "cat", None, None, None, "missing-image", None) for extra in range(50)]
    return explore(gathered, spark.createDataFrame(rows, CATALOGUE_SCHEMA))


def test_class_balance_counts_usable_rows_of_all_categories(result: ExploreResult) -> None:
    balance = result.classes
    assert (balance.categories, balance.rows) == (302, 1300)
    assert balance.top[:3] == [("cat", 400), (HOSTILE, 300), ("small 002", 3)]
    assert len(balance.top) == 50
    assert balance.tail_categories == 252
    assert balance.tail_rows + sum(count for _, count in balance.top) == 1300
    ranks, shares = zip(*balance.curve, strict=True)
    assert list(ranks) == sorted(set(ranks))
    assert list(shares) == sorted(shares)
    assert balance.curve[0] == (1, pytest.approx(400 / 1300))
    assert balance.curve[-1] == (302, 1.0)
    assert result.catalogue_status["missing-image"] == 50
    assert sum(result.catalogue_status.values()) == 1350


def test_images_are_measured(result: ExploreResult) -> None:
    assert (result.gathered, result.readable, result.unreadable) == (108, 103, {"http-error": 5})
    assert result.quantiles["width"][0] == 100
    assert result.quantiles["width"][-1] == 202
    assert result.quantiles["width"][3] == pytest.approx(151, abs=1)
    assert result.quantiles["height"] == [200.0] * 7
    assert all(sum(histogram.counts) == 103 for histogram in result.histograms.values())
    assert result.histograms["brightness"].counts[0] == 8
    cat = next(measures for measures in result.by_class if measures.label == "cat")
    assert cat.images == 62
    assert cat.brightness == pytest.approx((sum(range(60)) + 201) / 62)
    assert (cat.pixel_min, cat.pixel_max) == (3, 249)
    assert sum(result.formats.values()) == sum(result.modes.values()) == 103
    assert result.formats["PNG"] == 26


def test_identical_images_are_found(result: ExploreResult) -> None:
    assert (result.identical_groups, result.identical_images) == (2, 5)
    largest = result.identical_examples[0]
    assert (largest.images, largest.labels, largest.ids) == (3, ["cat"], ["id0007", "id0100", "id0101"])


class Page(HTMLParser):
    """Collects tags and what would load something."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href") and not (value or "").startswith("#")]


def test_the_page_stands_alone_and_names_are_escaped(result: ExploreResult, tmp_path: Path) -> None:
    uri = write(result, tmp_path.as_uri(), title=f"Exploration of {HOSTILE}")
    text = storage.read_text(uri)
    parsed = Page()
    parsed.feed(text)
    assert "script" not in parsed.tags
    assert parsed.loads == []
    assert parsed.tags.count("svg") == 6
    assert "{{ 7*7 }}" in text
    assert "prefers-color-scheme: dark" in text
    for start in range(text.count("<svg")):
        svg = text.split("<svg")[start + 1].split("</svg>")[0]
        ET.fromstring(f"<svg{svg}</svg>")
    loaded = storage.read_json(storage.join(tmp_path.as_uri(), "explore.json"))
    assert loaded["readable"] == 103
    assert loaded["classes"]["top"][1] == [HOSTILE, 300]
    assert loaded["identical_examples"][0]["images"] == 3


def test_nothing_readable_is_a_page_too(spark: SparkSession, gathered: DataFrame, tmp_path: Path) -> None:
    found = explore(gathered.where("status is not null"), spark.createDataFrame([], CATALOGUE_SCHEMA))
    assert (found.readable, found.identical_groups, found.classes.categories) == (0, 0, 0)
    assert "No image could be read" in storage.read_text(write(found, tmp_path.as_uri(), title="nothing"))
