"""The source `covers`: a CSV table of image URLs and categories, such as the Amazon book metadata, plain or gzipped."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from slotwise.contracts.catalogue import Status
from slotwise.settings.prepare import PrepareSettings
from slotwise.sources import tables
from slotwise.sources.tables import MALFORMED, trimmed

# The first name of a Python list as text: in single quotes, in double quotes, or bare. Java goes one call deeper with each character of
# such a name, and would run out of stack on a long one.
_LONGEST_LIST = 1_000
_FIRST_NAME = r"""^\[\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^,\]]*))"""


def catalogue(spark: SparkSession, settings: PrepareSettings) -> DataFrame:
    """The catalogue of the table at `settings.input`: a CSV file, or a directory of such files with one header.

    A row without image or category is set aside as such. Of usable rows with the same URL the first stays and the others are
    duplicates. The id is the beginning of the URL's SHA-256, so it is the same in every run; duplicates share it.

    Raises:
        UsageError: there is no such table, or it lacks the columns that the settings name.
        DataError: it is no text, or one of several files cannot be read as CSV.
    """
    wanted = {"category": ("--category-column", settings.category_column), "url": ("--url-column", settings.url_column)}
    return _judged(tables.read(spark, str(settings.input), wanted))


def first_name(text: Column) -> Column:
    """The category of a cell: the first name of a Python list as text, else the text itself; null where nothing is left."""
    start = F.substring(text, 1, _LONGEST_LIST)
    names = [F.regexp_extract(start, _FIRST_NAME, group) for group in (1, 2, 3)]
    listed = F.regexp_replace(F.concat(*names), r"\\(.)", "$1")
    return trimmed(F.when(text.startswith("["), listed).otherwise(text))


def _judged(rows: DataFrame) -> DataFrame:
    label = first_name(F.col("category"))
    status = (
        F.when(F.col("corrupt"), Status.MALFORMED_ROW.value)
        .when(F.col("url").isNull(), Status.MISSING_IMAGE.value)
        .when(F.col("label").isNull(), Status.MISSING_CATEGORY.value)
    )
    judged = rows.withColumn("label", label).withColumn("status", status)
    # Rows that are out already stand alone: together they would be one large group in one task.
    group = F.when(F.col("status").isNull(), F.col("url")).otherwise(F.col("row").cast("string"))
    earlier = F.row_number().over(Window.partitionBy(group).orderBy("row")) > 1
    judged = judged.withColumn("status", F.when(F.col("status").isNull() & earlier, Status.DUPLICATE.value).otherwise(F.col("status")))
    named = F.coalesce("url", F.concat(F.lit("row "), F.col("row").cast("string")))
    return judged.select(
        "row",
        F.substring(F.sha2(named.cast("binary"), 256), 1, 16).alias("id"),
        "label",
        "url",
        F.lit(None).cast("binary").alias("image"),
        F.lit(None).cast("string").alias("split"),
        "status",
        F.when(F.col("corrupt"), F.lit(MALFORMED)).alias("error"),
    )
