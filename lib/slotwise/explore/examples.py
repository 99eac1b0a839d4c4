"""Images that failed and images that are identical: how many there are, and a few to look at."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame, Row, Window
from pyspark.sql import functions as F

from slotwise.explore.record import ExampleImage, FailedImages, IdenticalGroup, IdenticalImages

_EXAMPLES = 20
_GROUPS = 20
_ERROR_LENGTH = 300


def failed_images(gathered: DataFrame, counts: Mapping[str, int]) -> list[FailedImages]:
    """The rows with a status, in the order of `counts`, which has every status; errors are cut to 300 characters."""
    if not set(counts) - {"readable"}:
        return []
    failed = gathered.where(F.col("status").isNotNull()).withColumn("error", F.substring("error", 1, _ERROR_LENGTH))
    examples: dict[str, list[ExampleImage]] = {}
    for row in _first_of_each(failed, "status", "error"):
        examples.setdefault(row["status"], []).append(ExampleImage(id=row["id"], label=row["label"], error=row["error"]))
    return [FailedImages(status=status, images=counts[status], examples=examples[status]) for status in counts if status in examples]


def identical_images(readable: DataFrame) -> IdenticalImages:
    """The groups of two or more images with the same `picture`."""
    pictures = readable.where(F.col("picture").isNotNull())
    groups = pictures.groupBy("picture").agg(F.count("*").alias("images"), _differ("label").alias("across")).where(F.col("images") > 1)
    totals = groups.agg(F.count("*"), F.coalesce(F.sum("images"), F.lit(0)), F.count_if("across")).collect()[0]
    if not totals[0]:
        return IdenticalImages(groups=0, images=0, groups_across_classes=0, examples=[])
    sizes = {row["picture"]: row["images"] for row in groups.orderBy(F.desc("images"), "picture").limit(_GROUPS).collect()}
    examples: dict[str, list[ExampleImage]] = {picture: [] for picture in sizes}
    for row in _first_of_each(pictures.where(F.col("picture").isin(*sizes)), "picture"):
        examples[row["picture"]].append(ExampleImage(id=row["id"], label=row["label"]))
    return IdenticalImages(
        groups=totals[0],
        images=totals[1],
        groups_across_classes=totals[2],
        examples=[IdenticalGroup(images=images, examples=examples[picture]) for picture, images in sizes.items()],
    )


def _first_of_each(images: DataFrame, key: str, *columns: str) -> list[Row]:
    """The first 20 images by id for each value of `key`: key, id, label and further columns."""
    rank = F.row_number().over(Window.partitionBy(key).orderBy("id"))
    first = images.select(key, "id", "label", *columns, rank.alias("rank")).where(F.col("rank") <= _EXAMPLES)
    return first.orderBy(key, "rank").collect()


def _differ(column: str) -> Column:
    text = F.coalesce(column, F.lit(""))
    return F.min(text) != F.max(text)
