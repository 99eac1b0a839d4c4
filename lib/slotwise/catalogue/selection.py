"""Choosing classes and candidates from a catalogue: narrow rows only, nothing collected but the classes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from slotwise.contracts.catalogue import SPLITS, Status
from slotwise.contracts.hashing import order_unit_column, split_of_column, split_unit_column
from slotwise.errors import UsageError
from slotwise.settings.prepare import PrepareSettings


def select_classes(catalogue: DataFrame, classes: int | None) -> list[tuple[str, int]]:
    """The largest classes by candidates, with their sizes; ties in order of name.

    Args:
        catalogue: CATALOGUE_SCHEMA.
        classes: how many, or None for all.

    Raises:
        UsageError: the catalogue has fewer.
    """
    sizes = catalogue.where(F.col("status").isNull()).groupBy("label").count()
    line = sizes.orderBy(F.desc("count"), "label")
    found = [(row["label"], row["count"]) for row in (line if classes is None else line.limit(classes)).collect()]
    wanted = classes or 2
    if len(found) < wanted:
        raise UsageError(
            f"The catalogue has {len(found)} classes with images",
            received=f"--classes {classes}" if classes else ", ".join(name for name, _ in found) or "no usable row",
            accepted=f"--classes from 2 to {len(found)}" if len(found) >= 2 else "an input with at least two classes",
        )
    return found


def narrow(catalogue: DataFrame, classes: Sequence[str]) -> DataFrame:
    """The catalogue with candidates of other classes set aside as `other-category`."""
    is_other = F.col("status").isNull() & ~F.col("label").isin(*classes)
    return catalogue.withColumn("status", F.when(is_other, Status.OTHER_CATEGORY.value).otherwise(F.col("status")))


def candidates(catalogue: DataFrame, settings: PrepareSettings) -> DataFrame:
    """The rows whose images are worth fetching: row, id, label, url, split.

    With `per_class`, each class and split gets its share and `reserve` more, in hash order, so that failed images find a
    stand-in; the split is the one that the id has for ever.
    """
    usable = catalogue.where(F.col("status").isNull())
    if settings.per_class is None:
        return usable.select("row", "id", "label", "url", "split")
    has_validation = not usable.where(F.col("split") == "validation").isEmpty()
    split = split_of_column(split_unit_column("id", settings.seed), settings.split, F.col("split"), has_validation)
    line = Window.partitionBy("label", "future_split").orderBy(order_unit_column("id", settings.seed), "id")
    room = F.create_map(*(part for name, percent in zip(SPLITS, settings.split, strict=True) for part in (F.lit(name), F.lit(_room(settings, percent)))))
    ranked = usable.withColumn("future_split", split).withColumn("rank", F.row_number().over(line))
    return ranked.where(F.col("rank") <= room[F.col("future_split")]).select("row", "id", "label", "url", "split")


def _room(settings: PrepareSettings, percent: int) -> int:
    assert settings.per_class is not None
    # A little on top of the share: where few are wanted, chance fails more of them.
    return math.ceil(settings.per_class * percent / 100 * (1 + settings.reserve)) + 2
