"""The exploring stage: Spark counts and summarises, the driver receives a bounded number of rows."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from slotwise.explore.examples import failed_images, identical_images
from slotwise.explore.measures import by_class, fetch_quantiles, histograms, sizes
from slotwise.explore.record import CatalogueStatistics, CategoryCount, CumulativeShare, ExploreResult, GatheredStatistics

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


def explore(catalogue: DataFrame, gathered: DataFrame, *, classes: list[str]) -> ExploreResult:
    """Describes a catalogue and the images gathered from it; each table is read once and no image bytes move.

    Args:
        catalogue: rows of CATALOGUE_SCHEMA; `label` and `status` are used.
        gathered: rows of GATHERED_SCHEMA with unique ids; `image` and `split` are not needed. Labels other than
            `classes` count in the overall numbers alone.
        classes: the dataset's classes, in the order of their label indices.
    """
    return ExploreResult(classes=classes, catalogue=_explore_catalogue(catalogue, classes), gathered=_explore_gathered(gathered, classes))


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


def _explore_catalogue(catalogue: DataFrame, classes: list[str]) -> CatalogueStatistics:
    counted = catalogue.select(*_CATALOGUE).groupBy(*_CATALOGUE).count().cache()
    try:
        by_status = _counts(counted.groupBy(F.coalesce("status", F.lit("candidate"))).agg(F.sum("count")))
        labelled = counted.where(F.col("label").isNotNull()).groupBy("label").agg(F.sum("count").alias("rows"))
        largest = labelled.orderBy(F.desc("rows"), "label").limit(_LARGEST).collect()
        # How many categories have how many rows is all the curve needs; N rows have fewer than √(2N) such numbers.
        by_rows = [(row["rows"], row["count"]) for row in labelled.groupBy("rows").count().collect()]
    finally:
        counted.unpersist()
    rows, categories = sum(by_status.values()), sum(count for _, count in by_rows)
    with_category = sum(size * count for size, count in by_rows)
    return CatalogueStatistics(
        rows=rows,
        rows_by_status=by_status,
        rows_without_category=rows - with_category,
        categories=categories,
        largest=[CategoryCount(category=row["label"], rows=row["rows"], is_class=row["label"] in classes) for row in largest],
        more_categories=categories - len(largest),
        more_rows=with_category - sum(row["rows"] for row in largest),
        cumulative=cumulative_shares(by_rows),
    )


def _explore_gathered(gathered: DataFrame, classes: list[str]) -> GatheredStatistics:
    narrow = gathered.select(*_GATHERED).cache()
    try:
        by_status = _counts(narrow.groupBy(F.coalesce("status", F.lit("readable"))).count())
        readable = narrow.where(F.col("status").isNull())
        seconds, attempts = fetch_quantiles(narrow)
        return GatheredStatistics(
            rows=sum(by_status.values()),
            rows_by_status=by_status,
            classes=by_class(readable, classes),
            histograms=histograms(readable),
            sizes=sizes(readable),
            formats=_counts(readable.groupBy(F.coalesce("source_format", F.lit("unknown"))).count()),
            modes=_counts(readable.groupBy(F.coalesce("source_mode", F.lit("unknown"))).count()),
            seconds=seconds,
            attempts=attempts,
            failed=failed_images(narrow, by_status),
            identical=identical_images(readable),
        )
    finally:
        narrow.unpersist()


def _counts(table: DataFrame) -> dict[str, int]:
    """A table of a name and a count as a dictionary, the most frequent name first."""
    counts: dict[str, int] = {row[0]: row[1] for row in table.collect()}
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
