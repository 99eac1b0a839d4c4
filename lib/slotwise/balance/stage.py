"""The balancing stage: narrow tables only, no image bytes move."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from slotwise.balance.quota import class_weights, split_quotas, training_targets
from slotwise.contracts.catalogue import SPLITS, Status
from slotwise.contracts.hashing import order_unit_column, split_of_column, split_unit_column, unit_hash_column
from slotwise.errors import DataError
from slotwise.settings.prepare import PrepareSettings
from slotwise.stored import stored


@dataclass(frozen=True)
class Balanced:
    """What the stage decides.

    `samples`: sample_id, id, label_index, split, shard, position; one row per sample to export.
    `ends`: id, status, split, error of every gathered row; status is `used`, `spare`, or why it was set aside.
    """

    samples: DataFrame
    ends: DataFrame
    classes: list[str]
    counts: dict[str, dict[str, int]]
    """Samples of each class, by split."""
    class_weights: list[float] | None


def balance(gathered: DataFrame, settings: PrepareSettings, classes: list[str], staging: str, *, given: Collection[str]) -> Balanced:
    """Decides over the gathered rows (GATHERED_SCHEMA; ids are unique).

    Args:
        staging: URI of a table that the caller removes when the result is no longer read; nothing is there yet.
        given: as for `split_of`.

    Raises:
        DataError: a class or a split is left without images, or there are fewer training images than logical shards.
    """
    unit = split_unit_column("id", settings.seed)
    held_out = F.coalesce(F.col("split").isin("validation", "test"), F.lit(False)).alias("held_out")
    split = split_of_column(unit, settings.split, F.col("split"), given).alias("split")
    known = gathered.select("id", "label", "picture", "status", "error", split, held_out)
    ranked = stored(gathered.sparkSession, _ranked(_without_identical(known, settings.seed), settings), staging)
    have = _counts(ranked.where(F.col("status").isNull()), classes)
    targets = training_targets({label: have["train"][label] for label in classes}, settings.balance or "none")
    quota = F.when(F.col("split") == "train", _lookup(targets)).otherwise(F.col("quota"))
    keeps = F.col("status").isNull() & (F.col("rank") <= quota)
    ends = ranked.select("id", "label", "split", "rank", "error", F.when(keeps, Status.USED.value).when(F.col("status").isNull(), Status.SPARE.value).otherwise(F.col("status")).alias("status"))
    samples = _placed(_copies(ends.where(F.col("status") == Status.USED.value), targets, have["train"]), classes, settings)
    counts = {split: {label: min(have[split][label], targets[label]) if split == "train" else have[split][label] for label in classes} for split in SPLITS}
    if settings.balance == "oversample":
        counts["train"] = targets
    _check(counts, settings.logical_shards)
    weights = class_weights([counts["train"][label] for label in classes]) if settings.balance == "weights" else None
    return Balanced(samples, ends.select("id", "status", "split", "error"), classes, counts, weights)


def _without_identical(known: DataFrame, seed: int) -> DataFrame:
    """Of identical pictures one stays, for the others could put one picture into two splits.

    It is the first in hash order, of those that the source itself holds out if there are any, for official test and
    validation sets stay whole; else of those in the test split.
    """
    is_picture = F.col("status").isNull() & F.col("picture").isNotNull()
    # Rows without a picture stand alone: together they would be one large group in one task.
    group = F.when(is_picture, F.col("picture")).otherwise(F.col("id"))
    same = Window.partitionBy(is_picture, group).orderBy(~F.col("held_out"), F.col("split") != "test", order_unit_column("id", seed), "id")
    repeats = is_picture & (F.row_number().over(same) > 1)
    return known.withColumn("status", F.when(repeats, Status.IDENTICAL_IMAGE.value).otherwise(F.col("status")))


def _ranked(known: DataFrame, settings: PrepareSettings) -> DataFrame:
    """Adds each good row's rank in its class and split, and drops to `spare` what is over the split's quota."""
    line = Window.partitionBy("label", "split", F.col("status").isNull()).orderBy(order_unit_column("id", settings.seed), "id")
    ranked = known.withColumn("rank", F.row_number().over(line))
    quotas = split_quotas(settings.per_class, settings.split) if settings.per_class else {}
    quota = _lookup(quotas, F.col("split")) if quotas else F.lit(2**31 - 1)
    over = F.col("status").isNull() & (F.col("rank") > quota)
    return ranked.withColumns({"quota": quota, "status": F.when(over, Status.SPARE.value).otherwise(F.col("status"))})


def _lookup(table: Mapping[str, int], key: Column | None = None) -> Column:
    """A small driver-side table as a column expression."""
    entries = [part for name, value in table.items() for part in (F.lit(name), F.lit(value))]
    return F.create_map(*entries)[F.col("label") if key is None else key]


def _counts(rows: DataFrame, classes: list[str]) -> dict[str, dict[str, int]]:
    counts = {split: dict.fromkeys(classes, 0) for split in SPLITS}
    for row in rows.groupBy("split", "label").count().collect():
        counts[row["split"]][row["label"]] = row["count"]
    return counts


def _copies(used: DataFrame, targets: Mapping[str, int], have: Mapping[str, int]) -> DataFrame:
    """Repeats training rows until each class has its target; a repetition's sample id says which one it is."""
    if all(targets[label] <= have[label] for label in targets):
        return used.withColumn("sample_id", F.col("id"))
    target, count = _lookup(targets), _lookup(have)
    times = F.floor(target / count) + F.when(F.col("rank") <= target % count, 1).otherwise(0)
    copies = F.when(F.col("split") == "train", times).otherwise(F.lit(1))
    repeated = used.withColumn("copy", F.explode(F.sequence(F.lit(0), (copies - 1).cast("int"))))
    return repeated.withColumn("sample_id", F.when(F.col("copy") == 0, F.col("id")).otherwise(F.concat_ws("#", "id", "copy")))


def _placed(samples: DataFrame, classes: list[str], settings: PrepareSettings) -> DataFrame:
    """Deals the samples of each split to the logical shards in turn, in hash order: shard sizes differ by one at most."""
    order = unit_hash_column([F.lit("place"), "sample_id"], settings.seed)
    number = F.row_number().over(Window.partitionBy("split").orderBy(order, "sample_id")) - 1
    label_index = _lookup({label: number for number, label in enumerate(classes)})
    return (
        samples.withColumn("number", number)
        .withColumn("shard", (F.col("number") % settings.logical_shards).cast("int"))
        .withColumn("position", F.floor(F.col("number") / settings.logical_shards).cast("int"))
        .select("sample_id", "id", label_index.alias("label_index"), "split", "shard", "position")
    )


def _check(counts: Mapping[str, Mapping[str, int]], logical_shards: int) -> None:
    training = sum(counts["train"].values())
    if training < logical_shards:
        raise DataError(f"{training} training images cannot fill {logical_shards} logical shards. Take a source with more images, or fewer --logical-shards")
    if not sum(counts["test"].values()):
        raise DataError("No image falls into the test split. Take a source with more images, or give it more with --split")
