"""From a source to a dataset: catalogue, images, report, balance, shards; in place only when whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timezone

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from slotwise import session, sources, storage
from slotwise.balance.stage import Balanced, balance
from slotwise.catalogue import candidates, given_splits, narrow, select_classes, with_images
from slotwise.contracts.catalogue import SPLITS, Status
from slotwise.contracts.dataset import VERSION, Accounting, DatasetRecord, ShardRecord, SplitRecord, check_files
from slotwise.contracts.paths import DatasetPaths
from slotwise.download.stage import Gathered, gather_bytes, gather_urls
from slotwise.errors import DataError, UsageError
from slotwise.explore.record import ExploreResult
from slotwise.explore.stage import explore_catalogue, explore_gathered
from slotwise.explore.write import write
from slotwise.export import petastorm
from slotwise.export.shards import export
from slotwise.laps import Laps
from slotwise.report import wording
from slotwise.settings.prepare import PrepareSettings
from slotwise.sources import demo
from slotwise.stored import stored_and_counted, stored_by_status
from slotwise.texts import printable, without_credentials
from slotwise.versions import installed_versions

# Sources whose catalogue holds URLs; the others bring the bytes along.
DOWNLOADED = ("demo", "covers")


def run(settings: PrepareSettings, spark: SparkSession | None = None) -> DatasetRecord:
    """Makes a dataset in the session given, or in one of its own; returns its record.

    Raises:
        SlotwiseError: as `check`, before Spark does anything, and `prepare`.
    """
    settings = check(settings)
    with session.lent(spark, lambda: start_session(settings)) as active:
        laps = Laps(session.submitted(active) if spark is None else None)
        laps.lap("session")
        return prepare(active, settings, laps)


def check(settings: PrepareSettings) -> PrepareSettings:
    """The settings resolved, and everything refused that can be without Spark.

    Raises:
        UsageError: the input does not exist or is none, the dataset exists already, or petastorm is missing.
    """
    settings = settings.resolved()
    if settings.source == "demo":
        demo.check(settings)
    if settings.format == "parquet":
        petastorm.require()
    if settings.input is not None and not storage.exists(settings.input):
        raise UsageError("The input does not exist", received=f"--input {settings.input}", accepted="a file or directory that exists")
    assert settings.dataset is not None
    _check_place(settings.dataset, settings.overwrite)
    return settings


def _check_place(dataset: str, overwrite: bool) -> None:
    """Sees that nothing is at the dataset's place but, with `overwrite`, a dataset or what is left of one."""
    if not storage.exists(dataset):
        return
    names = {name for name in storage.children(dataset) if not name.startswith((".", "_"))}
    if not storage.is_directory(dataset) or not names <= {"dataset.json", "explore", "rows", *SPLITS}:
        # --overwrite removes the whole directory: nobody means their home, or the input.
        raise UsageError("There is something else than a dataset already, which is not replaced", received=f"--dataset {dataset}", accepted="another --dataset")
    if not overwrite:
        state = "a dataset" if "dataset.json" in names else "a directory that is not a dataset"
        raise UsageError(f"There is {state} already", received=f"--dataset {dataset}", accepted="another --dataset, or --overwrite to replace it")


def start_session(settings: PrepareSettings) -> SparkSession:
    # pandas is pyspark's, for the first task in Python; the page brings matplotlib.
    return session.start(f"slotwise prepare {settings.source}", session.effective_conf(), meanwhile=("pandas", "slotwise.explore.page"))


def prepare(spark: SparkSession, settings: PrepareSettings, laps: Laps | None = None) -> DatasetRecord:
    """Makes the dataset of checked settings and puts it in place; returns its record.

    Args:
        laps: what was done for it before; nothing, unless told.

    Raises:
        UsageError: the input is not what the source needs.
        DataError: too many downloads failed, or too few images are left. What was fetched stays in the cache.
    """
    dataset = settings.dataset
    assert dataset is not None
    laps = laps or Laps()
    with _served(spark, settings) as settings, _scratch(dataset) as scratch:
        chosen = choose(spark, settings, scratch)
        laps.lap("catalogue")
        with session.beside(spark, "explore catalogue", lambda: explore_catalogue(chosen.rows, chosen.classes)) as catalogue:
            fetched = _gather(spark, settings, chosen, scratch)
        _check_fetched(spark, settings, chosen, fetched)
        laps.lap("images")
        gathered = fetched.rows
        target = DatasetPaths(storage.join(scratch, "dataset"))

        def explore() -> None:
            images = explore_gathered(gathered, chosen.classes)
            write(ExploreResult(classes=chosen.classes, catalogue=catalogue.result(), gathered=images), target.explore)

        with session.beside(spark, "explore images", explore):
            with session.phase(spark, "balance classes"):
                balanced = balance(gathered, settings, chosen.classes, storage.join(scratch, "balanced"), given=chosen.given)
                accounting = _write_ends(spark, chosen, balanced.ends, target.rows)
            laps.lap("balance")
            with session.phase(spark, f"write {settings.format} shards"):
                shards = export(spark, balanced.samples, fetched.images, target.root, settings)
        laps.lap("shards and report")
        record = _record(settings, balanced, shards, accounting, laps.seconds)
        storage.write_text(target.record, record.model_dump_json(indent=2) + "\n")
        check_files(target.root, record)
        storage.replace_directory(target.root, dataset)
        storage.delete(DatasetPaths(dataset).failed)
    return record


def _served(spark: SparkSession, settings: PrepareSettings) -> AbstractContextManager[PrepareSettings]:
    if settings.source != "demo":
        return nullcontext(settings)
    return demo.served(settings, str(spark.sparkContext.getConf().get("spark.driver.host")))


@dataclass(frozen=True)
class Chosen:
    """All rows with their status so far (no bytes), the candidates among them, the chosen classes in label order.

    `number` counts the rows, `candidates` those without a status; `given` names the splits that the source assigns.
    """

    rows: DataFrame
    wanted: DataFrame
    classes: list[str]
    given: list[str]
    number: int
    candidates: int


def choose(spark: SparkSession, settings: PrepareSettings, scratch: str) -> Chosen:
    """Chooses classes and candidates.

    Args:
        scratch: URI of a directory for what is kept meanwhile.

    Raises:
        UsageError: the input is not what the source needs.
        DataError: it cannot be read.
    """
    with session.phase(spark, "read catalogue"), sources.reading_input(settings):
        source = sources.catalogue_of(settings.source)(spark, settings)
        if not settings.keep_splits:
            source = source.withColumn("split", F.lit(None).cast("string"))
        rows, known = stored_and_counted(spark, source.drop("image"), storage.join(scratch, "catalogue"), {"splits": "count(split)"})
        classes = sorted(name for name, _ in select_classes(rows, settings.classes, settings.class_pattern))
    with session.phase(spark, "choose candidates"):
        rows = narrow(rows, classes)
        given = given_splits(rows) if known["splits"] else []
        chosen = candidates(rows, per_class=settings.per_class, reserve=settings.reserve, percents=settings.split, seed=settings.seed, given=given)
        numbers = {"rows": "count(1)", "candidates": "count_if(status IS NULL)"}
        rows, counts = stored_and_counted(spark, chosen, storage.join(scratch, "candidates"), numbers)
        wanted = rows.where(F.col("status").isNull())
    print(f"{counts['rows']:,} rows; classes: {printable(', '.join(classes))}", flush=True)
    wanted = wanted if settings.source in DOWNLOADED else with_images(source, wanted)
    return Chosen(rows, wanted, classes, given, counts["rows"], counts["candidates"])


def _gather(spark: SparkSession, settings: PrepareSettings, chosen: Chosen, scratch: str) -> Gathered:
    staging = storage.join(scratch, "images")
    if settings.source in DOWNLOADED:
        return gather_urls(spark, chosen.wanted, chosen.candidates, settings, staging)
    return gather_bytes(spark, chosen.wanted, chosen.candidates, settings, staging)


@contextmanager
def _scratch(dataset: str) -> Iterator[str]:
    """A directory beside the dataset that is gone afterwards, whatever happens."""
    scratch = storage.temporary(dataset)
    storage.make_directory(scratch)
    try:
        yield scratch
    finally:
        storage.delete(scratch)


def _check_fetched(spark: SparkSession, settings: PrepareSettings, chosen: Chosen, gathered: Gathered) -> None:
    """Says how the fetching went; where too much failed, keeps how every row ended and stops."""
    assert settings.dataset is not None
    fetched = gathered.outcome
    reasons = ", ".join(f"{count:,} {status}" for status, count in fetched.failed.items()) or "none"
    print(f"{fetched.attempted:,} images wanted; not usable: {reasons}", flush=True)
    if settings.source not in DOWNLOADED or fetched.failed_share <= settings.max_failed:
        return
    kept = DatasetPaths(settings.dataset).failed
    storage.delete(kept)
    unused = gathered.rows.select("id", "split", F.coalesce("status", F.lit(Status.SPARE.value)).alias("status"), "error")
    accounting = _write_ends(spark, chosen, unused, DatasetPaths(kept).rows)
    storage.write_text(storage.join(kept, "accounting.json"), accounting.model_dump_json(indent=2) + "\n")
    print(describe_accounting(accounting), flush=True)
    raise DataError(
        f"{fetched.failed_share:.1%} of the downloads failed ({reasons}); at most {settings.max_failed:.0%} may (--max-failed). "
        f"No dataset was made. How each row ended is in {kept}; images that came are kept in {settings.cache}"
    )


def _write_ends(spark: SparkSession, chosen: Chosen, ends: DataFrame, target: str) -> Accounting:
    """Writes how every input row ended (row, id, label, split, status, error) and counts the ends.

    Args:
        chosen: the whole catalogue; its status is null for rows still open.
        ends: id, status, split, error of the rows that were gathered, which are all open ones.

    Raises:
        DataError: not every row has exactly one end.
    """
    decided = ends.select("id", F.col("status").alias("end"), F.col("split").alias("end_split"), F.col("error").alias("end_error"))
    # A duplicate has the id of the row it repeats, which alone was gathered.
    is_open = F.col("status").isNull()
    final = (
        chosen.rows.where(is_open).join(decided, "id", "left").unionByName(chosen.rows.where(~is_open), allowMissingColumns=True)
        .select(
            "row",
            "id",
            "label",
            F.when(F.col("end") == Status.USED.value, F.col("end_split")).alias("split"),
            F.coalesce("status", "end").alias("status"),
            F.coalesce("error", "end_error").alias("error"),
        )
    )  # fmt: skip
    _, _, counts = stored_by_status(spark, final, target)
    used, spare = counts.pop(Status.USED.value, 0), counts.pop(Status.SPARE.value, 0)
    accounting = Accounting(rows=chosen.number, used=used, spare=spare, set_aside=counts)
    if not accounting.balanced():
        raise DataError(f"The rows do not add up: {describe_accounting(accounting)}. Ids that occur more than once in the input would explain it")
    return accounting


def describe_accounting(accounting: Accounting) -> str:
    """Where the input rows went, on one line."""
    aside = sum(accounting.set_aside.values())
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in accounting.set_aside.items())
    return f"{accounting.rows:,} rows = {accounting.used:,} used + {accounting.spare:,} spare + {aside:,} set aside" + (f" ({reasons})" if reasons else "")


def describe(record: DatasetRecord) -> str:
    """What the driver prints at the end."""
    splits = ", ".join(f"{name} {split.samples:,}" for name, split in record.splits.items())
    parts = ", ".join(f"{name} {wording.duration(seconds)}" for name, seconds in record.seconds.items())
    return (
        f"{describe_accounting(record.accounting)}\n{len(record.classes)} classes; samples: {splits}\n"
        f"{wording.duration(sum(record.seconds.values()))}: {parts}\n"
        f"dataset: {record.uri}\nreport: {storage.join(DatasetPaths(record.uri).explore, 'report.html')}"
    )


def _record(settings: PrepareSettings, balanced: Balanced, shards: dict[str, list[ShardRecord]], accounting: Accounting, seconds: dict[str, float]) -> DatasetRecord:
    assert settings.image_size is not None
    splits = {
        split: SplitRecord(
            samples=sum(shard.samples for shard in shards[split]),
            class_counts=[balanced.counts[split][label] for label in balanced.classes],
            shards=shards[split],
        )
        for split in SPLITS
    }
    return DatasetRecord(
        version=VERSION,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        source=settings.source,
        format=settings.format,
        image_size=settings.image_size,
        channels=settings.channels,
        classes=balanced.classes,
        class_weights=balanced.class_weights,
        logical_shards=settings.logical_shards,
        seed=settings.seed,
        splits=splits,
        accounting=accounting,
        settings=without_credentials(settings.model_dump(mode="json")),
        versions=installed_versions(),
        seconds=seconds,
    )
