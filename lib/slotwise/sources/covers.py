"""The source `covers`: a CSV table of image URLs and categories, such as the Amazon book metadata, plain or gzipped."""

from __future__ import annotations

import csv
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from slotwise import storage
from slotwise.contracts.catalogue import Status
from slotwise.errors import DataError, UsageError
from slotwise.settings.prepare import PrepareSettings
from slotwise.sources.numbering import numbered, placed
from slotwise.sources.reading import READ_ERRORS, cause_of

_ENDINGS = (".csv", ".csv.gz")
_CORRUPT = "_corrupt_record"
# A field beyond this is a quote that was never closed, and would swallow the rest of the file.
_LONGEST_FIELD = 1_000_000
_CSV: dict[str, Any] = {"quote": '"', "escape": '"', "multiLine": True, "encoding": "UTF-8", "maxCharsPerColumn": _LONGEST_FIELD}
# The first name of a Python list as text: in single quotes, in double quotes, or bare.
_FIRST_NAME = r"""^\[\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^,\]]*))"""


def catalogue(spark: SparkSession, settings: PrepareSettings) -> DataFrame:
    """The catalogue of the table at `settings.input`: a CSV file, or a directory of such files with one header.

    A row without image or category is set aside as such. Of usable rows with the same URL the first stays and the others are
    duplicates. The id is the beginning of the URL's SHA-256, so it is the same in every run; duplicates share it.

    Raises:
        UsageError: there is no such table, or it lacks the columns that the settings name.
        DataError: it cannot be read as CSV.
    """
    files = _files(str(settings.input))
    columns = _columns(spark, files)
    for flag, column in (("--category-column", settings.category_column), ("--url-column", settings.url_column)):
        if columns.count(column) != 1:
            how = "several columns" if column in columns else "no column"
            raise UsageError(f"{settings.input} has {how} '{column}'", received=f"{flag} {column}", accepted=f"one of {', '.join(columns)}")
    rows = _read(spark, files, columns, settings)
    try:
        rows = numbered(spark, rows)
    except READ_ERRORS as error:
        raise _unreadable(str(settings.input), error) from error
    return _judged(rows)


def _files(uri: str) -> list[str]:
    if not storage.exists(uri):
        raise UsageError("The --input of source covers does not exist", received=uri, accepted="a CSV file, plain or gzipped, or a directory of them")
    if not storage.is_directory(uri):
        return [uri]
    files = [storage.join(uri, name) for name in storage.children(uri) if name.lower().endswith(_ENDINGS) and not name.startswith((".", "_"))]
    if not files:
        raise UsageError("The --input directory of source covers holds no table", received=uri, accepted=f"files that end in {' or '.join(_ENDINGS)}")
    return files


def _columns(spark: SparkSession, files: list[str]) -> list[str]:
    headers = {file: _header(spark, file) for file in files}
    first = headers[files[0]]
    for file, header in headers.items():
        if header != first:
            raise UsageError(f"The tables of --input have different columns: {storage.name(files[0])} has {', '.join(first)}", received=f"{storage.name(file)}: {', '.join(header)}", accepted="tables with the same header")
    return first


def _header(spark: SparkSession, file: str) -> list[str]:
    lines = spark.read.text(storage.for_spark(file, pattern=True))
    try:
        first = lines.where(F.trim("value") != "").head()
    except READ_ERRORS as error:
        raise _unreadable(file, error) from error
    if first is None:
        raise DataError(f"{file} is empty: not even a header is there")
    try:
        return next(csv.reader([first["value"].lstrip("\ufeff")]))
    except csv.Error as error:
        raise _unreadable(file, error) from error


def _unreadable(uri: str, error: Exception) -> DataError:
    return DataError(f"{uri} cannot be read as CSV with quoted fields: {cause_of(error)}")


def _read(spark: SparkSession, files: list[str], columns: list[str], settings: PrepareSettings) -> DataFrame:
    """`url`, `category` and `corrupt` of each row, kept so that the table is parsed once.

    Line breaks in quoted fields are legal in CSV, and whether a file has any is only known at its end. A reader that splits
    the file would break such rows without a word, so each file is parsed by one task. It is the only step that is not
    parallel, and takes seconds for a table of a million rows; a gzipped table cannot be split in any case.
    """
    names = [f"c{number}" for number in range(len(columns))]
    schema = StructType([StructField(name, StringType()) for name in [*names, _CORRUPT]])
    paths = [storage.for_spark(file, pattern=True) for file in files]
    table = placed(spark.read.csv(paths, schema=schema, header=True, mode="PERMISSIVE", columnNameOfCorruptRecord=_CORRUPT, **_CSV))
    url = _trimmed(F.col(names[columns.index(settings.url_column)]))
    category = _trimmed(F.col(names[columns.index(settings.category_column)]))
    narrow = table.select(url.alias("url"), category.alias("category"), F.col(_CORRUPT).isNotNull().alias("corrupt"), *table.columns[-3:])
    return narrow.repartition(spark.sparkContext.defaultParallelism * 2).persist(StorageLevel.MEMORY_AND_DISK)


def _trimmed(text: Column) -> Column:
    trimmed = F.regexp_replace(text, r"^[\s\x{A0}]+|[\s\x{A0}]+$", "")
    return F.when(trimmed != "", trimmed)


def first_name(text: Column) -> Column:
    """The category of a cell: the first name of a Python list as text, else the text itself; null where nothing is left."""
    names = [F.regexp_extract(text, _FIRST_NAME, group) for group in (1, 2, 3)]
    listed = F.regexp_replace(F.concat(*names), r"\\(.)", "$1")
    return _trimmed(F.when(text.startswith("["), listed).otherwise(text))


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
        F.when(F.col("corrupt"), F.lit("the number of cells is not that of the header")).alias("error"),
    )
