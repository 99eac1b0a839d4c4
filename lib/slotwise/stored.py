"""Tables that a job keeps on its way: computed once, counted as they are written, read from then on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pyspark.sql import Observation
from pyspark.sql import functions as F

from slotwise import storage
from slotwise.contracts.catalogue import Status

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def stored(spark: SparkSession, rows: DataFrame, uri: str) -> DataFrame:
    """The same rows read from a Parquet table at `uri`, so that nothing before it is computed again."""
    rows.write.parquet(storage.for_spark(uri))
    return spark.read.schema(rows.schema).parquet(storage.for_spark(uri, pattern=True))


def stored_and_counted(spark: SparkSession, rows: DataFrame, uri: str, counts: Mapping[str, str]) -> tuple[DataFrame, dict[str, int]]:
    """As `stored`, with what is counted of the rows, SQL by name, which costs no query of its own."""
    seen = Observation()
    # One text there and one back: Java is called ten times for each column and each value.
    fields = ", ".join(f"'{name}', {sql}" for name, sql in counts.items())
    counted = F.expr(f"to_json(named_struct({fields}))")
    table = stored(spark, rows.observe(seen, counted.alias("counts")), uri)
    return table, json.loads(seen.get["counts"])


def stored_by_status(spark: SparkSession, rows: DataFrame, uri: str) -> tuple[DataFrame, int, dict[str, int]]:
    """As `stored`, with the number of rows, and of those of each status that occurs."""
    by_status = {status.value: f"count_if(status = '{status.value}')" for status in Status}
    table, counts = stored_and_counted(spark, rows, uri, {"rows": "count(1)", **by_status})
    return table, counts.pop("rows"), {status: count for status, count in sorted(counts.items()) if count}
