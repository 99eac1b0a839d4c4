"""From a run's model and a heap of images to a table of predictions: read, prepare and classify in one stage, in place only when whole."""

from __future__ import annotations

import time
from dataclasses import dataclass

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from slotwise import session, storage
from slotwise.cluster.console import failed_tasks_unsaid, reason
from slotwise.contracts.prediction import PREDICTED, PREDICTION_SCHEMA
from slotwise.download.fetch import FetchOptions
from slotwise.download.progress import reported
from slotwise.download.stage import SMALL_BATCHES, shares
from slotwise.errors import DataError, UsageError
from slotwise.inference import model_file
from slotwise.inference.model_file import ModelFile
from slotwise.inference.preparation import Preparation
from slotwise.inference.task import Classification, PredictTask
from slotwise.inference.worker import send
from slotwise.report import wording
from slotwise.settings.predict import InputKind, ModelSettings, PredictSettings
from slotwise.sources import unlabelled
from slotwise.sources.unlabelled import Unlabelled

_TOP = 5
_TASKS_A_CORE, _FEWEST_FILES_A_TASK, _FILES_A_TASK = 6, 200, 10_000
# A few rows at a time, as each may hold an image of max_bytes.
_READING_PARQUET = {**SMALL_BATCHES, "spark.sql.parquet.columnarReaderBatchSize": "64"}


@dataclass(frozen=True)
class PredictJob:
    """A prediction that is ready to start."""

    settings: PredictSettings
    model: ModelFile
    kind: InputKind
    top_k: int


@dataclass(frozen=True)
class Predicted:
    """What came of the rows, and how long it took.

    `lost` counts the rows without a class by status. `seconds` are those of the whole stage; `model_seconds` those in the model,
    summed over all tasks.
    """

    rows: int
    lost: dict[str, int]
    seconds: float
    model_seconds: float

    @property
    def predicted(self) -> int:
        return self.rows - sum(self.lost.values())


def run(settings: PredictSettings, spark: SparkSession | None = None) -> Predicted:
    """Writes predictions in the session given, or in one of its own.

    Raises:
        SlotwiseError: as `check`, before Spark does anything, and `predict`.
    """
    job = check(settings)
    with session.lent(spark, lambda: start_session(job)) as active:
        return predict(active, job)


def check(settings: PredictSettings) -> PredictJob:
    """Everything that can be refused without Spark.

    Raises:
        UsageError: the run has no model, the input nothing to classify, there are fewer classes than asked for, or something is at
            the place of the predictions.
        DataError: the model or the run's record is damaged.
    """
    model = model_file.read(str(settings.run))
    top_k = classes_kept(settings, model)
    kind = unlabelled.kind_of(settings)
    _check_place(settings.output, settings.overwrite)
    return PredictJob(settings, model, kind, top_k)


def classes_kept(settings: ModelSettings, model: ModelFile) -> int:
    """How many of the most probable classes a prediction names.

    Raises:
        UsageError: the model has fewer than asked for.
    """
    classes = len(model.record.class_names)
    if settings.top_k is not None and settings.top_k > classes:
        raise UsageError(f"The model has {classes} classes", received=f"--top-k {settings.top_k}", accepted=f"a whole number from 1 to {classes}")
    return settings.top_k or min(_TOP, classes)


def _check_place(output: str, overwrite: bool) -> None:
    """Sees that nothing is at the predictions' place but, with `overwrite`, predictions."""
    if not storage.exists(output):
        return
    names = storage.children(output) if storage.is_directory(output) else [storage.name(output)]
    if not all(name.startswith((".", "part-")) or name == "_SUCCESS" for name in names):
        # --overwrite removes the whole directory: nobody means their home, or their images.
        raise UsageError("There is something else than predictions already, which is not replaced", received=f"--output {output}", accepted="another --output")
    if not overwrite:
        raise UsageError("There are predictions already", received=f"--output {output}", accepted="another --output, or --overwrite to replace them")


def start_session(job: PredictJob) -> SparkSession:
    return session.start(f"slotwise predict with {job.model.record.model}", session.effective_conf())


def predict(spark: SparkSession, job: PredictJob) -> Predicted:
    """Writes a row of PREDICTION_SCHEMA for each row of the input.

    Raises:
        UsageError: a table of the input lacks a column.
        DataError: the input cannot be read or has no rows, the model cannot be loaded, or the rows do not add up; nothing is in place.
    """
    scratch = storage.temporary(job.settings.output)
    written = storage.join(scratch, "predictions")  # Spark's readers take the temporary name itself for hidden
    try:
        with session.settings(spark, _READING_PARQUET if job.kind == "parquet" else {}), failed_tasks_unsaid(spark):
            with session.phase(spark, "look at the input"), unlabelled.reading_input(job.settings, job.kind):
                given = unlabelled.read(spark, job.settings, job.kind)
                number = given.rows.select("id").count()
            if not number:
                raise DataError(f"There is no row in {job.settings.input}")
            began = time.monotonic()
            with session.phase(spark, "predict"):
                model_seconds = _classify(spark, job, given, number, written)
            seconds = time.monotonic() - began
            with session.phase(spark, "count predictions"):
                lost = _counts(spark, written, number)
        storage.replace_directory(written, job.settings.output)
    except (Py4JJavaError, PySparkException) as error:
        raise DataError(f"The executors cannot predict: {reason(error)}") from error
    finally:
        storage.delete(scratch)
    return Predicted(number, lost, seconds, model_seconds)


def _classify(spark: SparkSession, job: PredictJob, given: Unlabelled, number: int, target: str) -> float:
    """Writes the predictions; returns the seconds in the model, summed over tasks."""
    settings, rows, cores = job.settings, given.rows, spark.sparkContext.defaultParallelism
    tasks, per_host = shares(number, cores, settings.per_host)
    if given.source == "files":
        tasks = file_tasks(number, cores)
    if given.source != "bytes":
        rows = rows.repartition(tasks)
    preparation = Preparation(job.model.image_shape, settings.max_pixels, FetchOptions.of(settings), settings.threads, per_host, given.source)
    model_seconds = spark.sparkContext.accumulator(0.0)
    with reported(spark.sparkContext, "predict", number) as counters:
        task = PredictTask(preparation, Classification(send(spark, job.model), job.top_k, settings.batch_size), counters, model_seconds)
        rows.mapInArrow(task, PREDICTION_SCHEMA).write.parquet(storage.for_spark(target))
    return float(model_seconds.value)


def file_tasks(files: int, cores: int) -> int:
    """A few tasks a core to keep the progress moving, each with enough files that its start and end cost little beside them.

    >>> file_tasks(60_000, cores=2), file_tasks(1_000_000, cores=2), file_tasks(250, cores=2), file_tasks(1, cores=4)
    (12, 100, 2, 1)
    """
    return max(min(_TASKS_A_CORE * cores, files // _FEWEST_FILES_A_TASK), files // _FILES_A_TASK, min(cores, files))


def _counts(spark: SparkSession, written: str, expected: int) -> dict[str, int]:
    """The rows without a class by status, once it is seen that no row is lost or there twice."""
    table = spark.read.schema(PREDICTION_SCHEMA).parquet(storage.for_spark(written, pattern=True))
    counts = {row["status"]: row["count"] for row in table.groupBy("status").count().collect()}
    if sum(counts.values()) != expected:
        raise DataError(f"The rows do not add up: {expected:,} in the input, {sum(counts.values()):,} in the predictions. Has the input changed meanwhile?")
    return {status: count for status, count in sorted(counts.items()) if status != PREDICTED}


def describe(predicted: Predicted, output: str) -> str:
    """What the driver prints at the end."""
    reasons = ", ".join(f"{count:,} {status}" for status, count in predicted.lost.items())
    bad = predicted.rows - predicted.predicted
    model = f"; the model took {1000 * predicted.model_seconds / predicted.predicted:.2f} ms of a task for each" if predicted.predicted else ""
    return (
        f"{predicted.rows:,} rows = {predicted.predicted:,} predicted + {bad:,} not" + (f" ({reasons})" if reasons else "") + "\n"
        f"{wording.count(predicted.rows, 'image')} in {wording.duration(predicted.seconds)}: {predicted.rows / predicted.seconds:,.0f} images/s, "
        f"{1000 * predicted.seconds / predicted.rows:.2f} ms per image over all tasks{model}\npredictions: {output}"
    )
