"""The download stage: candidates with URLs or bytes become the gathered table.

Images go from the executors straight into the cache, and are read from there when shards are written; all that is joined or counted is narrow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from slotwise import storage
from slotwise.contracts.catalogue import GATHERED_SCHEMA
from slotwise.download import cache
from slotwise.download.fetch import FetchOptions
from slotwise.download.progress import reported
from slotwise.download.records import FETCHED_SCHEMA, MEASURED_FIELDS, NORMALISED_SCHEMA
from slotwise.download.tasks import FetchTask, NormaliseTask, Wanted
from slotwise.errors import UsageError
from slotwise.formats.ddl import columns_of
from slotwise.session import phase
from slotwise.session import settings as session_settings
from slotwise.settings.prepare import PrepareSettings
from slotwise.stored import stored_and_counted, stored_by_status

Value = TypeVar("Value")

# Tasks report when they end: so many images keep the progress moving without starting threads all the time,
# and where there are fewer, each core still has a few tasks to report.
_URLS_A_TASK = 1000
_FEWEST_URLS_A_TASK = 100
_TASKS_A_CORE = 6
# Up to here the narrow table goes to every task, and no image is shuffled: 200 bytes a row are 200 MB.
_BROADCAST_ROWS = 1_000_000
# Rows of an Arrow batch hold whole image files, of max_bytes each at the worst.
SMALL_BATCHES = {"spark.sql.execution.arrow.maxRecordsPerBatch": "16"}
_COLUMNS = tuple(columns_of(GATHERED_SCHEMA))


@dataclass(frozen=True)
class Outcome:
    """How gathering ended: candidates asked for (cached ones included), and the failed ones by status."""

    attempted: int
    failed: dict[str, int]

    @property
    def failed_share(self) -> float:
        return sum(self.failed.values()) / self.attempted if self.attempted else 0.0


@dataclass(frozen=True)
class Gathered:
    """What came of the candidates: `rows`, one of GATHERED_SCHEMA for each; these counted; and `images`, the bytes (id, image) of those that have any.

    Rows are read from narrow tables, as often as anybody likes; images from where they are kept.
    """

    rows: DataFrame
    outcome: Outcome
    images: DataFrame


def gather_urls(spark: SparkSession, candidates: DataFrame, number: int, settings: PrepareSettings, staging: str) -> Gathered:
    """Fetches what the cache lacks of `number` candidates.

    Args:
        candidates: id, label, url, split; ids and URLs unique. Evaluated several times: better stored than computed.
        settings: resolved.
        staging: URI of a directory that the caller removes when the result is no longer read; must not hold earlier tables.
    """
    kept = cache.directory(_required(settings.cache, "cache"), _size(settings))
    wanted = candidates.select("id", "label", "split", cache.key_column("url").alias("key"), "url")
    looked_up, missing = _looked_up(spark, wanted, kept, storage.join(staging, "wanted")) if storage.finished(kept) else (None, number)
    if looked_up is not None:
        wanted = looked_up.where(F.col("file").isNull())
    with phase(spark, "download images"):
        ends, failed = _fetched(spark, wanted, missing, settings, kept, storage.join(staging, "fetched"))
    if looked_up is not None:
        ends = ends.unionByName(looked_up.where(F.col("file").isNotNull()), allowMissingColumns=True)
    good = ends.where(F.col("file").isNotNull()).select("id", "key", "file")
    if number - sum(failed.values()) <= _BROADCAST_ROWS:
        good = F.broadcast(good)
    images = cache.read(spark, kept).join(good, ["key", "file"]).select("id", "image")
    return Gathered(ends.select(*_COLUMNS), Outcome(number, failed), images)


def gather_bytes(spark: SparkSession, candidates: DataFrame, number: int, settings: PrepareSettings, staging: str) -> Gathered:
    """Normalises the `image` bytes of `number` candidates (id, label, split, image; ids unique) once, into a table below `staging`."""
    height, width = _size(settings)
    size = F.length("image").cast("long")
    rows = candidates.select("id", "label", "split", size.alias("size"), F.when(size <= settings.max_bytes, F.col("image")).alias("image"))
    with phase(spark, "read images"), session_settings(spark, SMALL_BATCHES), reported(spark.sparkContext, "read", number) as counters:
        task = NormaliseTask(height, width, settings.channels, settings.max_pixels, settings.max_bytes, counters)
        gathered, count, failed = stored_by_status(spark, rows.mapInArrow(task, NORMALISED_SCHEMA), storage.join(staging, "gathered"))
    return Gathered(gathered.drop("image"), Outcome(count, failed), gathered.where(F.col("status").isNull()).select("id", "image"))


def _looked_up(spark: SparkSession, wanted: DataFrame, kept: str, target: str) -> tuple[DataFrame, int]:
    """Adds to wanted rows (with `key`) the `file` of the cache directory `kept` that has their image, and what is known of it.

    Returns:
        the table, in which they are null where no file has the image, and how often that is.
    """
    with phase(spark, "look into the image cache"):
        # Where a key is in several chunks, one counts.
        found = cache.read(spark, kept).join(wanted.select("key"), "key", "left_semi").groupBy("key").agg(F.min(F.struct("file", *MEASURED_FIELDS)).alias("found"))
        looked_up = wanted.join(found, "key", "left").select(*wanted.columns, "found.*")
        looked_up, counts = stored_and_counted(spark, looked_up, target, {"missing": "count_if(file IS NULL)"})
    return looked_up, counts["missing"]


def _fetched(spark: SparkSession, missing: DataFrame, number: int, settings: PrepareSettings, kept: str, target: str) -> tuple[DataFrame, dict[str, int]]:
    """Fetches each of `missing` (id, label, split, key, url) once, into the cache directory; what became of them is a table of FETCHED_SCHEMA at `target`.

    Returns:
        the table, and the failed ones by status.
    """
    tasks, per_host = shares(number, spark.sparkContext.defaultParallelism, settings.per_host)
    height, width = _size(settings)
    if not number:
        return spark.createDataFrame([], FETCHED_SCHEMA), {}
    with reported(spark.sparkContext, "download", number) as counters:
        task = FetchTask(kept, height, width, settings.max_pixels, FetchOptions.of(settings), settings.threads, per_host, counters)
        rows = missing.select(*Wanted._fields).repartition(tasks)
        fetched, _, failed = stored_by_status(spark, rows.mapInArrow(task, FETCHED_SCHEMA), target)
    return fetched, failed


def shares(urls: int, cores: int, per_host: int) -> tuple[int, int]:
    """Number of tasks, and connections to one host that each may hold, so that those running at a time keep `per_host` together.

    >>> shares(100_000, cores=4, per_host=32)
    (100, 8)
    >>> shares(1_600, cores=2, per_host=32)
    (12, 16)
    >>> shares(20_000, cores=64, per_host=8)
    (8, 1)
    """
    if per_host < cores:
        return min(per_host, max(1, urls)), 1
    several = min(_TASKS_A_CORE * cores, urls // _FEWEST_URLS_A_TASK)
    return max(-(-urls // _URLS_A_TASK), several, min(cores, max(1, urls))), per_host // cores


def _size(settings: PrepareSettings) -> tuple[int, int]:
    return _required(settings.image_size, "image_size")


def _required(value: Value | None, name: str) -> Value:
    if value is None:
        raise UsageError(f"The setting {name} is open", received="None", accepted="resolved settings")
    return value
