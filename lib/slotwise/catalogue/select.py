"""The k largest classes and n candidates of each, chosen by hash; the bytes of images stay where they are."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from slotwise.contracts.catalogue import SPLITS, Status
from slotwise.contracts.hashing import order_unit_column, split_of_column, split_unit_column
from slotwise.errors import UsageError
from slotwise.settings.types import pattern_regex

# Class names that an error tells of.
_NAMED = 20


def select_classes(catalogue: DataFrame, classes: int | None, patterns: Sequence[str] = ()) -> list[tuple[str, int]]:
    """The `classes` largest classes with their numbers of candidates, largest first, equal ones by name; None takes all.

    Args:
        patterns: of these names alone (as for `pattern_regex`); none takes all names.

    Raises:
        UsageError: there are fewer classes than asked for, or fewer than two.
    """
    labelled = catalogue.where(F.col("status").isNull())
    counts = (labelled.where(F.col("label").rlike(pattern_regex(patterns))) if patterns else labelled).groupBy("label").count()
    ordered = counts.orderBy(F.desc("count"), F.asc("label"))
    chosen = [(row["label"], row["count"]) for row in (ordered if classes is None else ordered.limit(classes)).collect()]
    if classes is not None and len(chosen) < classes:
        which = " of such names" if patterns else ""
        raise UsageError(f"The input has {len(chosen)} classes{which} with usable rows", received=f"--classes {classes}", accepted=f"a whole number from 2 to {len(chosen)}")
    if len(chosen) < 2 and patterns:
        names = [row["label"] for row in labelled.select("label").distinct().orderBy("label").limit(_NAMED).collect()]
        names += ["…"] if len(names) == _NAMED else []
        received = f"--class-pattern {' '.join(patterns)}"
        raise UsageError(f"{len(chosen)} classes with usable rows have such a name", received=received, accepted=f"patterns that two classes or more fit, of {', '.join(names)}")
    if len(chosen) < 2:
        raise UsageError("A classifier needs two classes or more", received=f"{len(chosen)} in the input", accepted="an input with usable rows of two classes")
    return chosen


def narrow(catalogue: DataFrame, classes: Sequence[str]) -> DataFrame:
    """The catalogue with the candidates of all other classes set aside as `other-category`."""
    other = F.col("status").isNull() & ~F.col("label").isin(list(classes))
    return catalogue.withColumn("status", F.when(other, Status.OTHER_CATEGORY.value).otherwise(F.col("status")))


def candidates(
    catalogue: DataFrame,
    *,
    per_class: int | None,
    reserve: float,
    percents: Sequence[int],
    seed: int,
    given: Collection[str] = (),
) -> DataFrame:
    """The catalogue without `image`, in which candidates beyond what a class needs of a split are `spare`.

    A class keeps `per_class` × (1 + `reserve`) candidates, divided over the splits by `percents` and rounded up. They are the first in
    hash order of the id, so a larger `per_class` keeps all that a smaller one kept, and balancing takes them in the same order.

    Args:
        catalogue: CATALOGUE_SCHEMA; rows with a status stay as they are.
        per_class: images per class over all splits; None keeps all candidates.
        given: as for `split_of`.
    """
    rows = catalogue.drop("image")
    if per_class is None:
        return rows
    bucket = split_of_column(split_unit_column("id", seed), percents, F.col("split"), given)
    line = Window.partitionBy("label", "_bucket").orderBy(order_unit_column("id", seed), "id")
    limits = {split: math.ceil(per_class * percent / 100 * (1 + reserve)) for split, percent in zip(SPLITS, percents, strict=True)}
    limit = _chosen("_bucket", limits)
    # Only candidates stand in line: the rows that are out share labels too, the missing one among them.
    open_rows = rows.where(F.col("status").isNull()).withColumn("_bucket", bucket)
    spare = F.when(F.row_number().over(line) > limit, Status.SPARE.value)
    ranked = open_rows.withColumn("status", spare).drop("_bucket")
    return ranked.unionByName(rows.where(F.col("status").isNotNull()))


def _chosen(column: str, values: dict[str, int]) -> Column:
    return F.create_map(*(F.lit(part) for entry in values.items() for part in entry))[F.col(column)]


def given_splits(catalogue: DataFrame) -> list[str]:
    """The splits to which the source itself assigns rows that are candidates, or spare ones; sorted."""
    usable = catalogue.where(F.col("status").isNull() | (F.col("status") == Status.SPARE.value))
    return sorted(row["split"] for row in usable.where(F.col("split").isin(*SPLITS)).select("split").distinct().collect())


def with_images(catalogue: DataFrame, chosen: DataFrame) -> DataFrame:
    """The rows of a catalogue that holds bytes whose `row` is in `chosen`; row numbers travel, images do not."""
    return catalogue.join(F.broadcast(chosen.select("row")), "row", "left_semi")
