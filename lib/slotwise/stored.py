"""Tables that a job keeps on its way: computed once, counted as they are written, read from then on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pyspark.sql import Observation
from pyspark.sql import functions as F

from slotwise import storage
from slotwise.contracts.catalogue import Status

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession


def stored(spark: SparkSession, rows: DataFrame, uri: str) -> DataFrame:
    """The same rows read from a Parquet table at `uri`, so that nothing before it is computed again."""
    rows.write.parquet(storage.for_spark(uri))
    return spark.read.schema(rows.schema).parquet(storage.for_spark(uri, pattern=True))


def stored_and_counted(spark: SparkSession, rows: DataFrame, uri: str, counts: Mapping[str, Column]) -> tuple[DataFrame, dict[str, int]]:
    """As `stored`, with aggregates over the rows, by name, which cost no query of their own."""
    seen = Observation()
    table = stored(spark, rows.observe(seen, *(column.alias(name) for name, column in counts.items())), uri)
    values = seen.get  # each time anew from Java, value by value
    return table, {name: int(values[name]) for name in counts}


def stored_by_status(spark: SparkSession, rows: DataFrame, uri: str) -> tuple[DataFrame, int, dict[str, int]]:
    """As `stored`, with the number of rows, and of those of each status that occurs."""
    columns = {status.value: F.count_if(F.col("status") == status.value) for status in Status}
    table, counts = stored_and_counted(spark, rows, uri, {"rows": F.count(F.lit(1)), **columns})
    return table, counts.pop("rows"), {status: count for status, count in sorted(counts.items()) if count}
