"""From finished runs and a dataset to an evaluation: each run's shards over the executors, their sums to one report."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from datetime import datetime, timezone

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from slotwise import session
from slotwise.cluster.console import failed_tasks_unsaid, reason
from slotwise.contracts import dataset as datasets
from slotwise.contracts.dataset import DatasetRecord
from slotwise.contracts.evaluation import VERSION, EvaluationRecord
from slotwise.errors import DataError, UsageError
from slotwise.evaluation.answers import Selection, keep
from slotwise.evaluation.tally import total
from slotwise.evaluation.write import Findings, evaluated_run, refuse_existing, write
from slotwise.inference import model_file
from slotwise.inference.model_file import ModelFile
from slotwise.inference.shard import EvaluateTask
from slotwise.inference.worker import send
from slotwise.report import wording
from slotwise.settings.evaluate import EvaluateSettings

_TOP, _TOP_OF_FEW = 5, 2


@dataclass(frozen=True)
class EvaluationJob:
    """An evaluation that is ready to start."""

    settings: EvaluateSettings
    models: list[ModelFile]
    dataset: str
    record: DatasetRecord
    top_k: int


def run(settings: EvaluateSettings, command: str, spark: SparkSession | None = None) -> EvaluationRecord:
    """Evaluates in the session given, or in one of its own; returns the record.

    Args:
        command: what the user typed.

    Raises:
        SlotwiseError: as `check`, before Spark does anything, and `evaluate`.
    """
    job = check(settings)
    with session.lent(spark, lambda: start_session(job)) as active:
        return evaluate(active, job, command)


def check(settings: EvaluateSettings) -> EvaluationJob:
    """Everything that can be refused without Spark.

    Raises:
        UsageError: a run has no model, or one for other classes or images than the dataset has; the split is empty; there are fewer
            classes than asked for; or there is an evaluation already.
        DataError: the dataset, a model or a run's record is missing or damaged.
    """
    refuse_existing(settings.output, overwrite=settings.overwrite)
    models = [model_file.read(run) for run in settings.runs]
    dataset = settings.dataset or models[0].record.dataset
    record = datasets.load(dataset)
    datasets.check_files(dataset, record)
    for model in models:
        model_file.check_fits(model, dataset, record)
    if not record.splits[settings.split].samples:
        raise UsageError(f"The {settings.split} split of {dataset} is empty", received=f"--split {settings.split}", accepted=", ".join(name for name, split in record.splits.items() if split.samples))
    classes = len(record.classes)
    if settings.top_k is not None and settings.top_k > classes:
        raise UsageError(f"The dataset has {classes} classes", received=f"--top-k {settings.top_k}", accepted=f"a whole number from 1 to {classes}")
    return EvaluationJob(settings, models, dataset, record, settings.top_k or (_TOP if classes > _TOP else min(_TOP_OF_FEW, classes)))


def start_session(job: EvaluationJob) -> SparkSession:
    return session.start(f"slotwise evaluate {wording.count(len(job.models), 'run')}", session.effective_conf())


def evaluate(spark: SparkSession, job: EvaluationJob, command: str) -> EvaluationRecord:
    """Evaluates the runs one after the other, and writes the evaluation.

    Args:
        command: what the user typed.

    Raises:
        DataError: a model cannot be loaded or gives no numbers, or a shard cannot be read; nothing was written.
    """
    findings = [_findings(spark, job, model) for model in job.models]
    names, settings = job.record.classes, job.settings
    record = EvaluationRecord(
        version=VERSION,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        command=command,
        dataset=job.dataset,
        dataset_fingerprint=job.record.fingerprint,
        split=settings.split,
        images=job.record.splits[settings.split].samples,
        class_names=names,
        top_k=job.top_k,
        confusion_per_class=settings.confusion_per_class,
        runs=[
            evaluated_run(model.run, model.record, found, names=names, top_k=job.top_k, per_class=settings.confusion_per_class)
            for model, found in zip(job.models, findings, strict=True)
        ],
    )
    images = {answer.sample.id: answer.sample.image for found in findings for answer in (*found.kept.wrong, *found.kept.right)}
    write(record, images, settings.output)
    return record


def _findings(spark: SparkSession, job: EvaluationJob, model: ModelFile) -> Findings:
    settings = job.settings
    selection = Selection(settings.examples_shown, settings.confusion_per_class)
    task = EvaluateTask(job.dataset, job.record, settings.split, send(spark, model), selection, settings.batch_size, settings.local_cache)
    shards = range(job.record.logical_shards)
    began = time.monotonic()
    try:
        with session.phase(spark, f"evaluate {model.record.model}"), failed_tasks_unsaid(spark):
            found = spark.sparkContext.parallelize(shards, len(shards)).map(task).collect()
    except (Py4JJavaError, PySparkException) as error:
        raise DataError(f"The executors cannot evaluate {model.run}: {reason(error)}") from error
    tally = total(each.tally for each in found if each.tally is not None)
    expected = job.record.splits[settings.split].samples
    if tally.images != expected:
        raise DataError(f"{tally.images:,} images were evaluated; {job.dataset} says that its {settings.split} split has {expected:,}")
    if not math.isfinite(tally.loss):
        raise DataError(f"The model of {model.run} gives no numbers: its loss is {tally.loss}")
    return Findings(tally, keep((each.kept for each in found), selection), time.monotonic() - began)
