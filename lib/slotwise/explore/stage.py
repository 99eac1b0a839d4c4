"""The exploring stage: Spark counts and summarises, the driver receives a bounded number of rows."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from slotwise.explore.examples import failed_images, identical_images
from slotwise.explore.measures import counts, measures
from slotwise.explore.record import CatalogueStatistics, CategoryCount, CumulativeShare, GatheredStatistics

_LARGEST = 50
_CATALOGUE = ("label", "status")
_GATHERED = (
    "id",
    "label",
    "status",
    "error",
    "picture",
    "source_format",
    "source_mode",
    "source_width",
    "source_height",
    "brightness",
    "contrast",
    "pixel_min",
    "pixel_max",
    "attempts",
    "seconds",
)


def explore_catalogue(catalogue: DataFrame, classes: list[str]) -> CatalogueStatistics:
    """Describes a catalogue in one query, which counts each row under its status and its category, and brings a bounded number of counts here.

    Args:
        catalogue: rows of CATALOGUE_SCHEMA; `label` and `status` are used.
        classes: the dataset's classes.
    """
    status, category = (F.struct(F.lit(kind).alias("kind"), name.alias("name")) for kind, name in (("status", F.coalesce("status", F.lit("candidate"))), ("category", F.col("label"))))
    counted = catalogue.select(*_CATALOGUE).select(F.inline(F.array(status, category))).where(F.col("name").isNotNull()).groupBy("kind", "name").agg(F.count("*").alias("rows"))
    # How many categories have how many rows is all the curve needs; N rows have fewer than √(2N) such numbers.
    alike = Window.partitionBy("kind", "rows")
    ranked = counted.select(
        "*",
        F.row_number().over(Window.partitionBy("kind").orderBy(F.desc("rows"), "name")).alias("place"),
        F.row_number().over(alike.orderBy("name")).alias("place_of_alike"),
        F.count("*").over(alike).alias("alike"),
    )
    kept = ranked.where((F.col("kind") == "status") | (F.col("place") <= _LARGEST) | (F.col("place_of_alike") == 1)).orderBy("place").collect()
    by_status = {row["name"]: row["rows"] for row in kept if row["kind"] == "status"}
    categories = [row for row in kept if row["kind"] == "category"]
    largest = [row for row in categories if row["place"] <= _LARGEST]
    by_rows = [(row["rows"], row["alike"]) for row in categories if row["place_of_alike"] == 1]
    rows, number, with_category = sum(by_status.values()), sum(alike for _, alike in by_rows), sum(size * alike for size, alike in by_rows)
    return CatalogueStatistics(
        rows=rows,
        rows_by_status=by_status,
        rows_without_category=rows - with_category,
        categories=number,
        largest=[CategoryCount(category=row["name"], rows=row["rows"], is_class=row["name"] in classes) for row in largest],
        more_categories=number - len(largest),
        more_rows=with_category - sum(row["rows"] for row in largest),
        cumulative=cumulative_shares(by_rows),
    )


def explore_gathered(gathered: DataFrame, classes: list[str]) -> GatheredStatistics:
    """Describes the images gathered from a catalogue; the table is read once and no image bytes move.

    Args:
        gathered: rows of GATHERED_SCHEMA with unique ids; `image` and `split` are not needed. Labels other than
            `classes` count in the overall numbers alone.
        classes: the dataset's classes, in the order of their label indices.
    """
    narrow = gathered.select(*_GATHERED).cache()
    try:
        counted = counts(narrow)
        measured = measures(narrow, classes)
        return GatheredStatistics(
            rows=sum(counted.by_status.values()),
            rows_by_status=counted.by_status,
            classes=measured.classes,
            histograms=counted.histograms,
            sizes=counted.sizes,
            formats=counted.formats,
            modes=counted.modes,
            seconds=measured.seconds,
            attempts=measured.attempts,
            failed=failed_images(narrow, counted.by_status),
            identical=identical_images(narrow.where(F.col("status").isNull())),
        )
    finally:
        narrow.unpersist()


def cumulative_shares(categories_by_rows: Sequence[tuple[int, int]]) -> list[CumulativeShare]:
    """The share of rows that the k largest categories hold, for k = 1, 2, 3, 5, 10, 20, 30, 50, … and all.

    Args:
        categories_by_rows: pairs of a number of rows and how many categories have exactly that many.
    """
    total = sum(rows * categories for rows, categories in categories_by_rows)
    ends = set(_round_numbers(sum(categories for _, categories in categories_by_rows)))
    shares, before, held = [], 0, 0
    for rows, categories in sorted(categories_by_rows, reverse=True):
        within = sorted(end for end in ends if before < end <= before + categories)
        shares += [CumulativeShare(categories=end, share=(held + (end - before) * rows) / total) for end in within]
        before, held = before + categories, held + rows * categories
    return shares


def _round_numbers(last: int) -> list[int]:
    """1, 2, 3, 5, 10, 20, 30, 50, … below `last`, then `last`; none for 0."""
    numbers = [factor * 10**power for power in range(len(str(last))) for factor in (1, 2, 3, 5)]
    return [number for number in numbers if number < last] + ([last] if last else [])
