"""How the gathered rows ended, and formats, sizes, brightness, contrast and pixel range of the readable images, overall and per class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from slotwise.explore.record import QUANTILES, ClassStatistics, Histogram, Histograms, Quantiles, SizeCount

_SIZES = 200
# More than there are bins, statuses, and formats and modes of Pillow's together.
_ALL_ELSE = 1000
# A quarter of an octave: fine enough for thumbnails and for photographs.
_PIXEL_EDGES = (0.0, *(float(round(8 * 2 ** (step / 4))) for step in range(41)))
_LOWER_EDGES = {
    "width": _PIXEL_EDGES,
    "height": _PIXEL_EDGES,
    "aspect_ratio": tuple(step / 10 for step in range(41)),
    "brightness": tuple(8.0 * step for step in range(32)),
    "contrast": tuple(4.0 * step for step in range(32)),
}


@dataclass(frozen=True)
class Counts:
    """What is counted of the gathered rows, the most frequent first; all but `by_status` of the readable ones alone."""

    by_status: dict[str, int]
    formats: dict[str, int]
    modes: dict[str, int]
    sizes: list[SizeCount]
    histograms: Histograms


def counts(gathered: DataFrame) -> Counts:
    """All that is counted, in one query: each row is taken once for each thing that it counts for."""
    entries = [_entry("status", text=F.coalesce("status", F.lit("readable")))]
    known = F.col("source_width").isNotNull() & F.col("source_height").isNotNull()
    readable = F.col("status").isNull()
    entries += [_entry(name, text=F.coalesce(f"source_{name}", F.lit("unknown")), where=readable) for name in ("format", "mode")]
    entries += [_entry("size", number=F.col("source_width"), second=F.col("source_height"), where=readable & known)]
    for name, column in _binned().items():
        number = _bin(column, _LOWER_EDGES[name])
        entries += [_entry(name, number=number, where=readable & number.isNotNull())]
    counted = gathered.select(F.inline(F.array(*entries))).where(F.col("name").isNotNull()).groupBy("name", "text", "number", "second").count()
    # Of sizes there may be as many as images, so they are last.
    rows = counted.orderBy(F.col("name") == "size", F.desc("count"), "number", "second", "text").limit(_ALL_ELSE + _SIZES).collect()
    by_status, formats, modes = ({row["text"]: row["count"] for row in rows if row["name"] == name} for name in ("status", "format", "mode"))
    sizes = [SizeCount(width=row["number"], height=row["second"], images=row["count"]) for row in rows if row["name"] == "size"][:_SIZES]
    return Counts(by_status, formats, modes, sizes, _histograms(rows))


def _entry(name: str, *, text: Column | None = None, number: Column | None = None, second: Column | None = None, where: Column | None = None) -> Column:
    """What a row counts for under a name: a text, a number or two; nothing where a condition does not hold."""
    values = {"text": (text, "string"), "number": (number, "int"), "second": (second, "int")}
    entry = F.struct(F.lit(name).alias("name"), *((F.lit(None) if value is None else value).cast(kind).alias(key) for key, (value, kind) in values.items()))
    return entry if where is None else F.when(where, entry)


def _binned() -> dict[str, Column]:
    aspect_ratio = F.when(F.col("source_height") > 0, F.col("source_width") / F.col("source_height"))
    columns = {"width": F.col("source_width"), "height": F.col("source_height"), "aspect_ratio": aspect_ratio}
    return columns | {name: F.col(name) for name in ("brightness", "contrast")}


def _histograms(rows: list[Row]) -> Histograms:
    found = {(row["name"], row["number"]): row["count"] for row in rows}
    return Histograms(
        **{
            name: Histogram(lower_edges=list(edges), counts=[found.get((name, index), 0) for index in range(len(edges))])
            for name, edges in _LOWER_EDGES.items()
        }
    )


@dataclass(frozen=True)
class Measures:
    """Of each class, in their order, and of fetching over all rows that say it."""

    classes: list[ClassStatistics]
    seconds: Quantiles | None
    attempts: Quantiles | None


def measures(gathered: DataFrame, classes: list[str]) -> Measures:
    """The readable images of each class, and the seconds and the attempts of all rows, in one query."""
    counted = F.when(F.col("status").isNull() & F.col("label").isin(*classes), F.col("label"))
    numbers = (
        gathered.withColumn("class", counted)
        .rollup("class")
        .agg(
            F.grouping("class").alias("whole"),
            F.count("*").alias("images"),
            *(_quantiles(column).alias(name) for name, column in (_QUANTITIES | _FETCHES).items()),
            *(F.mean(name).alias(f"{name}_mean") for name in ("brightness", "contrast", "pixel_min", "pixel_max")),
            *(F.stddev_samp(name).alias(f"{name}_std") for name in ("brightness", "contrast")),
            F.min("pixel_min").alias("pixel_min"),
            F.max("pixel_max").alias("pixel_max"),
        )
    )
    rows = [row.asDict() for row in numbers.collect()]
    whole = next((row for row in rows if row["whole"]), {})
    found = {row["class"]: _class_statistics(row) for row in rows if row["class"] is not None}
    return Measures([found.get(label, ClassStatistics(label=label, images=0)) for label in classes], *(_as_quantiles(whole.get(name)) for name in _FETCHES))


_QUANTITIES = {
    "width": "source_width",
    "height": "source_height",
    "brightness_quantiles": "brightness",
    "contrast_quantiles": "contrast",
}
_FETCHES = {"seconds_quantiles": "seconds", "attempts_quantiles": "attempts"}


def _quantiles(column: str) -> Column:
    return F.percentile_approx(column, list(QUANTILES), 10000)


def _as_quantiles(values: list[float] | None) -> Quantiles | None:
    return None if values is None else Quantiles(**dict(zip(Quantiles.model_fields, values, strict=True)))


def _class_statistics(row: dict[str, Any]) -> ClassStatistics:
    values = {name: value for name, value in row.items() if name in ClassStatistics.model_fields}
    quantiles = {name.removesuffix("_quantiles"): _as_quantiles(row[name]) for name in _QUANTITIES}
    return ClassStatistics(**{"label": row["class"], **values, **quantiles})


def _bin(value: Column, lower_edges: tuple[float, ...]) -> Column:
    """Index of the bin a value falls into; null for null."""
    edges = F.expr(f"array({', '.join(f'{edge}D' for edge in lower_edges[1:])})")
    return F.when(value.isNotNull(), F.size(F.filter(edges, lambda edge: edge <= value)))
