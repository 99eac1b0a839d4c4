"""A CSV of image URLs and categories in the layout of Kaggle's "Amazon Books Reviews", plain or gzipped."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from slotwise import storage
from slotwise.contracts.catalogue import Status
from slotwise.errors import UsageError
from slotwise.settings.prepare import PrepareSettings
from slotwise.sources.rows import existing_input, numbered

_CORRUPT = "_malformed"
# The first text of a Python list: ['Fiction'], ["Children's stories"], with backslash escapes.
_FIRST_OF_LIST = r"""^\s*\[\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")"""


def catalogue(spark: SparkSession, settings: PrepareSettings) -> DataFrame:
    """The catalogue of a covers CSV; `id` is the start of the SHA-256 of the URL, equal in every catalogue that has it.

    Raises:
        UsageError: the input does not exist, is empty, or lacks a column.
    """
    text = numbered(_read(spark, existing_input(settings), [settings.category_column, settings.url_column]))
    rows = text.select(
        "row",
        F.nullif(F.trim(settings.url_column), F.lit("")).alias("url"),
        _category(F.col(settings.category_column)).alias("label"),
        F.col(_CORRUPT).isNotNull().alias("is_malformed"),
    )
    return _with_duplicates(rows.withColumn("status", _status())).select(
        "row",
        F.coalesce(F.substring(F.sha2("url", 256), 1, 16), F.concat(F.lit("row-"), "row")).alias("id"),
        "label",
        "url",
        F.lit(None).cast("binary").alias("image"),
        F.lit(None).cast("string").alias("split"),
        "status",
        F.lit(None).cast("string").alias("error"),
    )


def _read(spark: SparkSession, uri: str, needed: list[str]) -> DataFrame:
    """The CSV as text columns, with the line of a row that does not fit the header in `_malformed`."""
    # Quoted cells may hold line breaks, so a file is read by one task; the rows spread out at the first shuffle.
    path = storage.for_spark(uri, pattern=True)
    reader = spark.read.option("header", True).option("quote", '"').option("escape", '"').option("multiLine", True)
    columns = reader.csv(path).columns
    for column in needed:
        if column not in columns:
            raise UsageError(f"The input {uri} has no column '{column}'", received=", ".join(columns) or "an empty file", accepted="--category-column and --url-column that it has")
    schema = StructType([StructField(column, StringType()) for column in [*columns, _CORRUPT]])
    # Without pruning every row is checked against the whole header, whichever columns are used.
    return reader.option("columnPruning", False).option("mode", "PERMISSIVE").option("columnNameOfCorruptRecord", _CORRUPT).schema(schema).csv(path)


def _category(text: Column) -> Column:
    listed = F.coalesce(*(F.nullif(F.regexp_extract(text, _FIRST_OF_LIST, group), F.lit("")) for group in (1, 2)))
    unescaped = F.regexp_replace(listed, r"\\(.)", "$1")
    plain = F.when(~F.trim(text).startswith("["), F.trim(text))
    return F.nullif(F.trim(F.coalesce(unescaped, plain)), F.lit(""))


def _status() -> Column:
    return (
        F.when(F.col("is_malformed"), Status.MALFORMED_ROW.value)
        .when(F.col("url").isNull(), Status.MISSING_IMAGE.value)
        .when(F.col("label").isNull(), Status.MISSING_CATEGORY.value)
    )


def _with_duplicates(rows: DataFrame) -> DataFrame:
    """Of usable rows with one URL the first stays."""
    is_usable = F.col("status").isNull()
    seen = F.row_number().over(Window.partitionBy("url", is_usable).orderBy("row"))
    return rows.withColumn("status", F.when(is_usable & (seen > 1), Status.DUPLICATE.value).otherwise(F.col("status")))
