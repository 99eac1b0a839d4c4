"""Exploring: numbers checked by hand, bounded examples, a page that no name can break."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from slotwise import storage
from slotwise.contracts.catalogue import CATALOGUE_SCHEMA, GATHERED_SCHEMA
from slotwise.explore.page import explore_report
from slotwise.explore.record import ExploreResult
from slotwise.explore.stage import cumulative_shares, explore_catalogue, explore_gathered
from slotwise.explore.write import write

CATALOGUE_COLUMNS = [field.split()[0] for field in CATALOGUE_SCHEMA.split(", ")]
GATHERED_COLUMNS = [field.split()[0] for field in GATHERED_SCHEMA.split(", ")]
EVIL = "<script>alert('x')</script>"
DOLLARS = r"$\frac{1 & \x00" + "\x00\n"


def catalogue_of(spark: SparkSession, rows: list[tuple[str | None, str | None]]) -> DataFrame:
    """A catalogue with the given labels and statuses."""
    values = [{"row": index, "id": f"row-{index}", "label": label, "status": status} for index, (label, status) in enumerate(rows)]
    return spark.createDataFrame([tuple(row.get(name) for name in CATALOGUE_COLUMNS) for row in values], CATALOGUE_SCHEMA)


def image(image_id: str, label: str = "A", **fields: Any) -> dict[str, Any]:
    """A readable gathered row, with what a test is about given by name."""
    values: dict[str, Any] = {"id": image_id, "label": label, "picture": f"picture of {image_id}", "source_format": "JPEG", "source_mode": "RGB"}
    values |= {"source_width": 100, "source_height": 200, "source_bytes": 5000, "brightness": 100.0, "contrast": 40.0}
    return values | {"pixel_min": 0, "pixel_max": 255, "image": b"jpeg"} | fields


def failure(image_id: str, status: str, error: str | None, label: str = "A") -> dict[str, Any]:
    return {"id": image_id, "label": label, "status": status, "error": error, "attempts": 3, "seconds": 1.5}


def gathered_of(spark: SparkSession, rows: list[dict[str, Any]]) -> DataFrame:
    return spark.createDataFrame([tuple(row.get(name) for name in GATHERED_COLUMNS) for row in rows], GATHERED_SCHEMA)


def explore(catalogue: DataFrame, gathered: DataFrame, *, classes: list[str]) -> ExploreResult:
    return ExploreResult(classes=classes, catalogue=explore_catalogue(catalogue, classes), gathered=explore_gathered(gathered, classes))


@pytest.fixture(scope="module")
def result(spark: SparkSession) -> ExploreResult:
    catalogue = catalogue_of(
        spark, [("A", None)] * 3 + [("A", "duplicate"), ("B", None), ("B", None), ("C", "other-category"), (None, "missing-category"), (None, "malformed-row")]
    )
    rows = [
        image("a1", source_width=50, source_height=100, brightness=10.0, contrast=5.0, pixel_min=3, pixel_max=200, attempts=1, seconds=0.5),
        image("a2", source_width=100, source_height=100, brightness=20.0, contrast=7.0, pixel_min=1, pixel_max=250, picture="same", attempts=2, seconds=1.0),
        image("a3", source_width=9000, source_height=1000, brightness=30.0, contrast=9.0, pixel_min=5, pixel_max=240, picture="same", attempts=1, seconds=0.25),
        image("b1", "B", brightness=255.0, source_format="PNG", source_mode="P", picture="same", attempts=1, seconds=0.25),
        failure("a4", "timeout", "no answer within 10 s"),
        failure("b2", "unreadable", "broken data stream", "B"),
        failure("b3", "unreadable", None, "B"),
    ]
    return explore(catalogue, gathered_of(spark, rows), classes=["B", "A", "Z"])


def test_catalogue_numbers(result: ExploreResult) -> None:
    catalogue = result.catalogue
    assert catalogue.rows == 9
    assert catalogue.rows_by_status == {"candidate": 5, "duplicate": 1, "malformed-row": 1, "missing-category": 1, "other-category": 1}
    assert next(iter(catalogue.rows_by_status)) == "candidate"
    assert catalogue.rows_without_category == 2
    assert [(item.category, item.rows, item.is_class) for item in catalogue.largest] == [("A", 4, True), ("B", 2, True), ("C", 1, False)]
    assert (catalogue.categories, catalogue.more_categories, catalogue.more_rows) == (3, 0, 0)
    assert [(point.categories, point.share) for point in catalogue.cumulative] == [(1, 4 / 7), (2, 6 / 7), (3, 1.0)]


def test_only_the_fifty_largest_categories_are_listed_and_the_rest_is_counted(spark: SparkSession) -> None:
    rows: list[tuple[str | None, str | None]] = [(f"category {number:02d}", None) for number in range(60) for _ in range(2 if number >= 55 else 1)]
    catalogue = explore(catalogue_of(spark, rows), gathered_of(spark, []), classes=[]).catalogue
    names = [item.category for item in catalogue.largest]
    assert len(names) == 50
    assert names[:6] == [*(f"category {number}" for number in range(55, 60)), "category 00"]
    assert (catalogue.categories, catalogue.more_categories, catalogue.more_rows) == (60, 10, 10)
    assert [point.categories for point in catalogue.cumulative] == [1, 2, 3, 5, 10, 20, 30, 50, 60]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=120))
def test_cumulative_shares_are_those_of_the_sorted_categories(sizes: list[int]) -> None:
    shares = cumulative_shares([(size, sizes.count(size)) for size in set(sizes)])
    falling = sorted(sizes, reverse=True)
    for point in shares:
        assert point.share == pytest.approx(sum(falling[: point.categories]) / sum(sizes))
    assert shares[0].categories == 1
    assert (shares[-1].categories, shares[-1].share) == (len(sizes), 1.0)


def test_class_numbers(result: ExploreResult) -> None:
    b, a, z = result.gathered.classes
    assert [item.label for item in (b, a, z)] == ["B", "A", "Z"]
    assert (a.images, a.pixel_min, a.pixel_max) == (3, 1, 250)
    assert a.width is not None
    assert a.brightness is not None
    assert (a.width.minimum, a.width.median, a.width.maximum) == (50, 100, 9000)
    assert (a.brightness.minimum, a.brightness.median, a.brightness.maximum) == (10, 20, 30)
    assert (a.brightness_mean, a.brightness_std) == (20, 10)
    assert (a.contrast_mean, a.contrast_std) == (7, 2)
    assert (a.pixel_min_mean, a.pixel_max_mean) == (3, 230)
    assert (b.images, b.brightness_mean, b.brightness_std) == (1, 255, None)
    assert z.images == 0
    assert z.width is None


def test_histograms_count_every_readable_image_once(result: ExploreResult) -> None:
    histograms = result.gathered.histograms
    for histogram in (histograms.width, histograms.height, histograms.aspect_ratio, histograms.brightness, histograms.contrast):
        assert sum(histogram.counts) == 4
        assert len(histogram.counts) == len(histogram.lower_edges)
    brightness = dict(zip(histograms.brightness.lower_edges, histograms.brightness.counts, strict=True))
    assert {edge: count for edge, count in brightness.items() if count} == {8: 1, 16: 1, 24: 1, 248: 1}
    ratio = {edge: count for edge, count in zip(histograms.aspect_ratio.lower_edges, histograms.aspect_ratio.counts, strict=True) if count}
    assert ratio == {0.5: 2, 1.0: 1, 4.0: 1}
    assert histograms.width.counts[-1] == 1


def test_statuses_formats_sizes_and_fetches(result: ExploreResult) -> None:
    gathered = result.gathered
    assert gathered.rows == 7
    assert gathered.rows_by_status == {"readable": 4, "unreadable": 2, "timeout": 1}
    assert gathered.formats == {"JPEG": 3, "PNG": 1}
    assert gathered.modes == {"RGB": 3, "P": 1}
    assert [(size.width, size.height, size.images) for size in gathered.sizes] == [(50, 100, 1), (100, 100, 1), (100, 200, 1), (9000, 1000, 1)]
    assert gathered.seconds is not None
    assert gathered.attempts is not None
    assert (gathered.seconds.minimum, gathered.seconds.median, gathered.seconds.maximum) == (0.25, 1.0, 1.5)
    assert (gathered.attempts.minimum, gathered.attempts.maximum) == (1, 3)


def test_failed_images_have_examples_with_their_error(result: ExploreResult) -> None:
    unreadable, timeout = result.gathered.failed
    assert (unreadable.status, unreadable.images) == ("unreadable", 2)
    assert [(example.id, example.error) for example in unreadable.examples] == [("b2", "broken data stream"), ("b3", None)]
    assert (timeout.examples[0].id, timeout.examples[0].label) == ("a4", "A")


def test_identical_images_are_grouped_across_classes(result: ExploreResult) -> None:
    identical = result.gathered.identical
    assert (identical.groups, identical.images, identical.groups_across_classes) == (1, 3, 1)
    assert [(example.id, example.label) for example in identical.examples[0].examples] == [("a2", "A"), ("a3", "A"), ("b1", "B")]


def test_examples_are_bounded(spark: SparkSession) -> None:
    failures = [failure(f"f{number:03d}", "http-error", "x" * 5000) for number in range(30)]
    pairs = [image(f"p{number:03d}", picture=f"pair {number // 2}") for number in range(60)]
    crowd = [image(f"c{number:03d}", picture="crowd") for number in range(25)]
    gathered = explore(catalogue_of(spark, []), gathered_of(spark, [*failures, *pairs, *crowd]), classes=["A"]).gathered
    assert gathered.failed[0].images == 30
    assert [example.id for example in gathered.failed[0].examples] == [f"f{number:03d}" for number in range(20)]
    assert len(gathered.failed[0].examples[0].error or "") == 300
    assert (gathered.identical.groups, gathered.identical.images, gathered.identical.groups_across_classes) == (31, 85, 0)
    assert [group.images for group in gathered.identical.examples] == [25] + [2] * 19
    assert len(gathered.identical.examples[0].examples) == 20


def test_each_table_is_read_once_and_without_its_images(spark: SparkSession) -> None:
    """An image that is looked at fails the job; a row that is read twice is counted twice."""
    reads = spark.sparkContext.accumulator(0)

    def counted(text: str) -> str:
        reads.add(1)
        return text

    def fails(text: str) -> bytes:
        raise AssertionError("the image was read")

    count, fail = F.udf(counted, "string"), F.udf(fails, "binary")
    catalogue = catalogue_of(spark, [("A", None)] * 3).withColumn("label", count("label")).withColumn("image", fail("id"))
    gathered = gathered_of(spark, [image("a1"), image("a2")]).withColumn("label", count("label")).withColumn("image", fail("id"))
    assert explore(catalogue, gathered, classes=["A"]).gathered.rows == 2
    assert reads.value == 5


def test_nothing_gathered(spark: SparkSession) -> None:
    result = explore(catalogue_of(spark, []), gathered_of(spark, []), classes=["A"])
    assert result.catalogue.rows == result.gathered.rows == result.gathered.identical.images == 0
    assert result.catalogue.cumulative == []
    assert result.gathered.classes[0].images == 0
    assert result.gathered.seconds is None
    html = explore_report(result)
    assert "No image was gathered." in html
    assert "The catalogue is empty." in html


def test_rows_without_measurements_do_not_fail(spark: SparkSession) -> None:
    bare = {"id": "a1", "label": "A", "source_height": 0, "source_width": 10}
    result = explore(catalogue_of(spark, [(None, "missing-category")]), gathered_of(spark, [bare]), classes=["A"])
    assert result.gathered.formats == {"unknown": 1}
    assert sum(result.gathered.histograms.aspect_ratio.counts) == 0
    assert sum(result.gathered.histograms.brightness.counts) == 0
    assert "Identical images" in explore_report(result)


def test_record_comes_back_from_its_file(result: ExploreResult, place: str) -> None:
    directory = storage.join(place, "explore")
    write(result, directory)
    assert storage.children(directory) == ["explore.json", "report.html"]
    assert ExploreResult.model_validate(storage.read_json(storage.join(directory, "explore.json"))) == result
    assert storage.read_text(storage.join(directory, "report.html")) == explore_report(result)


class Loads(HTMLParser):
    """The names of all tags, and whatever an attribute would load or run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        for name, value in attributes:
            if name.startswith("on") or (name in ("src", "href", "xlink:href") and not (value or "").startswith("#")):
                self.loaded.append(f"{name}={value}")


@pytest.mark.filterwarnings("error:Glyph .* missing from")
def test_no_name_can_break_the_page(spark: SparkSession) -> None:
    labels = [EVIL, DOLLARS, "x" * 500, '"><img src=x onerror=alert(1)>', "漫画"]
    rows = [image(f"{label}-{number}", label, picture=f"p{number}", source_format=label) for label in labels for number in range(2)]
    rows += [failure(f"{EVIL}-f", EVIL, EVIL, EVIL)]
    html = explore_report(explore(catalogue_of(spark, [(label, EVIL) for label in labels]), gathered_of(spark, rows), classes=labels))
    found = Loads(html)
    assert not found.names & {"script", "img", "iframe", "link"}
    assert found.loaded == []
    assert "&lt;script&gt;" in html
    assert r"$\frac{1 &amp;" in html
    for svg in html.split("<svg")[1:]:
        ET.fromstring(f"<svg{svg.split('</svg>')[0]}</svg>")


def test_page_says_a_dash_where_there_is_no_number(result: ExploreResult) -> None:
    html = explore_report(result)
    assert "None" not in html
    assert "nan" not in {word.strip("<>:,.") for word in html.lower().split()}
