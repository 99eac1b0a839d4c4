"""Sizes, brightness, contrast and pixel range of the readable images, overall and per class."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from slotwise.explore.record import QUANTILES, ClassStatistics, Histogram, Histograms, Quantiles, SizeCount

_SIZES = 200
# A quarter of an octave: fine enough for thumbnails and for photographs.
_PIXEL_EDGES = (0.0, *(float(round(8 * 2 ** (step / 4))) for step in range(41)))
_LOWER_EDGES = {
    "width": _PIXEL_EDGES,
    "height": _PIXEL_EDGES,
    "aspect_ratio": tuple(step / 10 for step in range(41)),
    "brightness": tuple(8.0 * step for step in range(32)),
    "contrast": tuple(4.0 * step for step in range(32)),
}


def by_class(readable: DataFrame, classes: list[str]) -> list[ClassStatistics]:
    """One record for each of `classes`, in their order."""
    numbers = (
        readable.where(F.col("label").isin(*classes))
        .groupBy("label")
        .agg(
            F.count("*").alias("images"),
            *(_quantiles(column).alias(name) for name, column in _QUANTITIES.items()),
            *(F.mean(name).alias(f"{name}_mean") for name in ("brightness", "contrast", "pixel_min", "pixel_max")),
            *(F.stddev_samp(name).alias(f"{name}_std") for name in ("brightness", "contrast")),
            F.min("pixel_min").alias("pixel_min"),
            F.max("pixel_max").alias("pixel_max"),
        )
    )
    found = {row["label"]: _class_statistics(row.asDict()) for row in numbers.collect()}
    return [found.get(label, ClassStatistics(label=label, images=0)) for label in classes]


def histograms(readable: DataFrame) -> Histograms:
    """All histograms in one job: each image is taken once for each of them."""
    aspect_ratio = F.when(F.col("source_height") > 0, F.col("source_width") / F.col("source_height"))
    columns = {"width": F.col("source_width"), "height": F.col("source_height"), "aspect_ratio": aspect_ratio}
    columns |= {name: F.col(name) for name in ("brightness", "contrast")}
    pairs = [F.struct(F.lit(name).alias("name"), _bin(column, _LOWER_EDGES[name]).alias("bin")) for name, column in columns.items()]
    binned = readable.select(F.inline(F.array(*pairs))).where(F.col("bin").isNotNull())
    counts = {(row["name"], row["bin"]): row["count"] for row in binned.groupBy("name", "bin").count().collect()}
    return Histograms(
        **{
            name: Histogram(lower_edges=list(edges), counts=[counts.get((name, index), 0) for index in range(len(edges))])
            for name, edges in _LOWER_EDGES.items()
        }
    )


def sizes(readable: DataFrame) -> list[SizeCount]:
    """The most frequent source sizes, ties by width and height."""
    known = readable.where(F.col("source_width").isNotNull() & F.col("source_height").isNotNull())
    counted = known.groupBy("source_width", "source_height").count()
    rows = counted.orderBy(F.desc("count"), "source_width", "source_height").limit(_SIZES).collect()
    return [SizeCount(width=row["source_width"], height=row["source_height"], images=row["count"]) for row in rows]


def fetch_quantiles(gathered: DataFrame) -> tuple[Quantiles | None, Quantiles | None]:
    """Of the seconds and of the attempts of fetching, over all rows that have them."""
    row = gathered.agg(_quantiles("seconds").alias("seconds"), _quantiles("attempts").alias("attempts")).collect()[0]
    return _as_quantiles(row["seconds"]), _as_quantiles(row["attempts"])


_QUANTITIES = {
    "width": "source_width",
    "height": "source_height",
    "brightness_quantiles": "brightness",
    "contrast_quantiles": "contrast",
}


def _quantiles(column: str) -> Column:
    return F.percentile_approx(column, list(QUANTILES), 10000)


def _as_quantiles(values: list[float] | None) -> Quantiles | None:
    return None if values is None else Quantiles(**dict(zip(Quantiles.model_fields, values, strict=True)))


def _class_statistics(row: dict[str, Any]) -> ClassStatistics:
    quantiles = {name.removesuffix("_quantiles"): _as_quantiles(row.pop(name)) for name in _QUANTITIES}
    return ClassStatistics(**row, **quantiles)


def _bin(value: Column, lower_edges: tuple[float, ...]) -> Column:
    """Index of the bin a value falls into; null for null."""
    return reduce(add, [(value >= edge).cast("int") for edge in lower_edges[1:]])
