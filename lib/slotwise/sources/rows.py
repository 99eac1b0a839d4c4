"""What all sources share: an input that exists, and row numbers in input order."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from slotwise import storage
from slotwise.errors import UsageError
from slotwise.settings.prepare import PrepareSettings

_PARTITION_BITS = 33


def existing_input(settings: PrepareSettings, *, directory: bool = False) -> str:
    """The URI of `--input`.

    Raises:
        UsageError: nothing is there, or a file where a directory is needed.
    """
    uri = settings.input or ""
    if not storage.exists(uri):
        raise UsageError("The input does not exist", received=f"--input {uri}", accepted="a file or directory that exists")
    if directory and not storage.is_directory(uri):
        raise UsageError(f"Source {settings.source} reads a directory", received=f"--input {uri}, a file", accepted="a directory")
    return uri


def numbered(rows: DataFrame) -> DataFrame:
    """Adds `row`, long, counting from 0 in input order.

    Spark's own increasing ids leave gaps between partitions; the counts of the partitions before close them, so that
    no row has to leave its place.
    """
    marked = rows.withColumn("_mark", F.monotonically_increasing_id())
    partition = F.shiftright("_mark", _PARTITION_BITS)
    counts = {row["p"]: row["n"] for row in marked.groupBy(partition.alias("p")).agg(F.count("*").alias("n")).collect()}
    before, offsets = 0, []
    for number in sorted(counts):
        offsets += [F.lit(number), F.lit(before)]
        before += counts[number]
    start = F.create_map(*offsets)[partition] if offsets else F.lit(0)
    place = F.col("_mark") - F.shiftleft(partition, _PARTITION_BITS)
    return marked.withColumn("row", (start + place).cast("long")).drop("_mark")
