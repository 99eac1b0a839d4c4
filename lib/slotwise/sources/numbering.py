"""Numbers for the rows of files, in input order, without sorting the rows or passing them through one task."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

# What `placed` adds to a table that was just read; `numbered` takes it off again.
_FILE, _START, _PLACE = "_input_file", "_input_start", "_input_place"


def placed(rows: DataFrame) -> DataFrame:
    """Adds to rows as they come from files where each stood: its file, the start of its block, a growing number.

    Has to be the first step after reading: Spark's growing numbers follow the input only as long as no row has moved.
    """
    return rows.select(
        "*",
        F.col("_metadata.file_path").alias(_FILE),
        F.col("_metadata.file_block_start").alias(_START),
        F.monotonically_increasing_id().alias(_PLACE),
    )


def numbered(spark: SparkSession, rows: DataFrame) -> DataFrame:
    """Replaces what `placed` added by `row`, the number of the row over all files by name, and `place`, that in its file; `file` is its name.

    Counts the rows of each block of input once; only these counts come to the driver. Where one task reads the one file,
    `numbered_already` does the same without counting.
    """
    blocks = rows.groupBy(_FILE, _START).agg(F.count(F.lit(1)).alias("rows"), F.min(_PLACE).alias("first")).collect()
    offsets, row, in_file, file = [], 0, 0, ""
    for block in sorted(blocks, key=lambda block: (block[_FILE], block[_START])):
        in_file = in_file if block[_FILE] == file else 0
        file = block[_FILE]
        offsets.append((block[_FILE], block[_START], row - block["first"], in_file - block["first"]))
        row, in_file = row + block["rows"], in_file + block["rows"]
    table = spark.createDataFrame(offsets, f"{_FILE} string, {_START} long, to_row long, to_place long")
    return _named(rows.join(F.broadcast(table), [_FILE, _START]), F.col(_PLACE) + F.col("to_row"), F.col(_PLACE) + F.col("to_place")).drop("to_row", "to_place")


def numbered_already(rows: DataFrame) -> DataFrame:
    """As `numbered`, of rows that one task reads from one file: Spark's growing numbers begin with 0 then, and leave none out."""
    return _named(rows, F.col(_PLACE), F.col(_PLACE))


def _named(rows: DataFrame, row: Column, place: Column) -> DataFrame:
    file = F.element_at(F.split(_FILE, "/"), -1)
    return rows.withColumns({"row": row, "place": place, "file": file}).drop(_FILE, _START, _PLACE)
