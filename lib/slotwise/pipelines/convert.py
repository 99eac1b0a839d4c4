"""From a finished run to its model in other formats: converted on executors, measured beside the original, in place only when whole."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import reduce
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from slotwise import session
from slotwise.cluster.console import failed_tasks_unsaid, reason
from slotwise.contracts import dataset as datasets
from slotwise.contracts.dataset import DatasetRecord
from slotwise.contracts.export import ORIGINAL, VERSION, ExportRecord, FileRecord, MissingRecord, ModelRecord, TensorRecord, TimeRecord
from slotwise.contracts.paths import RunPaths
from slotwise.conversion import write
from slotwise.conversion.agreement import Agreement
from slotwise.conversion.formats import FORMATS, Converted, chosen
from slotwise.conversion.tasks import ConvertTask, Images, ScoreTask, SentExport, TimeTask
from slotwise.errors import DataError, UsageError
from slotwise.inference import model_file
from slotwise.inference.model_file import ModelFile
from slotwise.inference.worker import SentModel, send
from slotwise.settings.export import ExportSettings, FormatName
from slotwise.versions import installed_versions


@dataclass(frozen=True)
class ExportJob:
    """An export that is ready to start."""

    settings: ExportSettings
    model: ModelFile
    formats: list[FormatName]
    dataset: str
    record: DatasetRecord
    output: str

    @property
    def calibration_images(self) -> int:
        is_needed = any(FORMATS[name].is_calibrated for name in self.formats)
        return min(self.settings.calibration_images, self.record.splits["validation"].samples) if is_needed else 0


def run(settings: ExportSettings, command: str, spark: SparkSession | None = None) -> ExportRecord:
    """Exports in the session given, or in one of its own; returns the record.

    Args:
        command: what the user typed.

    Raises:
        SlotwiseError: as `check`, before Spark does anything, and `export`.
    """
    job = check(settings)
    with session.lent(spark, lambda: start_session(job)) as active:
        return export(active, job, command)


def check(settings: ExportSettings) -> ExportJob:
    """Everything that can be refused without Spark.

    Raises:
        UsageError: the run has no model, or one for other classes or images than the dataset has; a format's packages are not
            installed; a split that is needed is empty; or something is at the place of the export.
        DataError: the dataset, the model or the run's record is missing or damaged.
    """
    output = place(settings)
    formats = chosen(settings.formats)
    model = model_file.read(str(settings.run))
    write.check_place(output, overwrite=settings.overwrite)
    dataset = settings.dataset or model.record.dataset
    record = datasets.load(dataset)
    datasets.check_files(dataset, record)
    model_file.check_fits(model, dataset, record)
    calibrated = [name for name in formats if FORMATS[name].is_calibrated]
    for split, use in (("test", "to measure on"), *([("validation", f"to calibrate {', '.join(calibrated)} on")] if calibrated else [])):
        if not record.splits[split].samples:
            raise UsageError(f"The {split} split of {dataset} is empty: there is nothing {use}", received=f"--dataset {dataset}", accepted=f"a dataset of the same classes with {split} images, or other --formats")
    return ExportJob(settings, model, formats, dataset, record, output)


def place(settings: ExportSettings) -> str:
    """The URI of the export."""
    return settings.output or RunPaths(str(settings.run)).export


def start_session(job: ExportJob) -> SparkSession:
    return session.start(f"slotwise export {job.model.record.model}", session.effective_conf())


def export(spark: SparkSession, job: ExportJob, command: str) -> ExportRecord:
    """Converts, measures, and writes the files with their report.

    Args:
        command: what the user typed.

    Raises:
        DataError: the model cannot be loaded, a format that was asked for by name or all of them cannot be made, or the test
            images do not add up; nothing is in place.
    """
    sent, images = send(spark, job.model), Images(job.dataset, job.record, job.settings.local_cache)
    converted, missing = _converted(spark, job, sent, images)
    files = {name: each.files for name, each in converted.items()}
    original = Converted({RunPaths(job.model.run).model: job.model.content})
    export = SentExport(uuid.uuid4().hex, sent, spark.sparkContext.broadcast(files))
    found = _agreement(spark, job, ScoreTask(export, images, job.settings.batch_size))
    [(cores, times)] = _on_executors(spark, job, "time the models", TimeTask(export, images, job.settings.timing_rounds), [0])
    record = ExportRecord(
        version=VERSION,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        command=command,
        run=job.model.run,
        model=job.model.record.model,
        model_sha256=job.model.sha256,
        class_names=job.record.classes,
        image_shape=job.model.image_shape,
        dataset=job.dataset,
        dataset_fingerprint=job.record.fingerprint,
        images=found.images,
        calibration_images=job.calibration_images,
        cores=cores,
        versions=installed_versions(),
        original=_model(job, ORIGINAL, original, found, times),
        models=[_model(job, name, each, found, times) for name, each in converted.items()],
        missing=missing,
    )
    write.write(record, [part for each in files.values() for part in each.items()], job.output)
    return record


def _converted(spark: SparkSession, job: ExportJob, sent: SentModel, images: Images) -> tuple[dict[FormatName, Converted], list[MissingRecord]]:
    """What could be made, in the order of the formats, and what not."""
    answers = _on_executors(spark, job, "convert", ConvertTask(sent, images, job.calibration_images), job.formats)
    made = {name: answer for name, answer in zip(job.formats, answers, strict=True) if isinstance(answer, Converted)}
    missing = [answer for answer in answers if isinstance(answer, MissingRecord)]
    if missing and (job.settings.formats or not made):
        raise DataError("; ".join(f"The model of {job.model.run} cannot be converted to {each.format}: {each.reason}" for each in missing))
    return made, missing


def _agreement(spark: SparkSession, job: ExportJob, task: ScoreTask) -> Agreement:
    found: Agreement = reduce(Agreement.__add__, _on_executors(spark, job, "measure accuracy", task, range(job.record.logical_shards)))
    expected = job.record.splits["test"].samples
    if found.images != expected:
        raise DataError(f"{found.images:,} images were put to the models; {job.dataset} says that its test split has {expected:,}")
    return found


def _on_executors(spark: SparkSession, job: ExportJob, title: str, task: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    """What a task makes of each item, one Spark task for each."""
    try:
        with session.phase(spark, title), failed_tasks_unsaid(spark):
            return spark.sparkContext.parallelize(items, len(items)).map(task).collect()
    except (Py4JJavaError, PySparkException) as error:
        raise DataError(f"The executors cannot export {job.model.run}: {reason(error)}") from error


def _model(job: ExportJob, name: str, converted: Converted, found: Agreement, times: dict[str, list[TimeRecord]]) -> ModelRecord:
    files, shape, classes = converted.files, job.model.image_shape, len(job.record.classes)
    return ModelRecord(
        format=name,
        files=[FileRecord(path=path, bytes=len(content), sha256=hashlib.sha256(content).hexdigest()) for path, content in files.items()],
        bytes=sum(map(len, files.values())),
        takes=converted.takes or TensorRecord(dtype="uint8", shape=[None, *shape]),
        gives=converted.gives or TensorRecord(dtype="float32", shape=[None, classes]),
        accuracy=found.right[name] / found.images,
        agreement=found.agreed[name] / found.images,
        times=times[name],
    )
