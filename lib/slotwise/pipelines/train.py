"""From a dataset to a run: checks, slots, record, report."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from importlib.util import find_spec

from pyspark.sql import SparkSession

from slotwise import models, session, storage
from slotwise.cluster import preflight, supervise
from slotwise.cluster.interruption import Interruption
from slotwise.cluster.ship import ship
from slotwise.cluster.story import tell
from slotwise.cluster.supervise import Trained
from slotwise.contracts import dataset as datasets
from slotwise.contracts.dataset import DatasetRecord
from slotwise.contracts.job import TrainingJob
from slotwise.contracts.paths import RunPaths
from slotwise.contracts.run import VERSION, RunRecord, SlotRecord
from slotwise.errors import TrainingFailed, UsageError
from slotwise.feed.order import slot_shards, training_plan
from slotwise.laps import Laps
from slotwise.settings.train import TrainSettings, latest_dataset
from slotwise.settings.training import Engine, TrainingSettings
from slotwise.tracking.sending import send_apart
from slotwise.training import audit
from slotwise.training.checkpoints import Checkpoints
from slotwise.training.lock import RunLock
from slotwise.training.resume import check_resumable
from slotwise.versions import installed_versions


def run(settings: TrainSettings, spark: SparkSession | None = None) -> RunRecord:
    """Trains in the session given, or in one of its own; returns the run's record.

    Raises:
        SlotwiseError: as `check`, before Spark does anything, `start_session` or `join_session`, and `train`.
    """
    job = check(settings)
    if spark is not None:
        join_session(spark, job.settings)
    with session.lent(spark, lambda: start_session(job.settings)) as active:
        laps = Laps(session.submitted(active) if spark is None else None)
        laps.lap("session")
        return train(active, job, laps)


def resolve(settings: TrainSettings) -> TrainSettings:
    """The settings with dataset, model and run filled in."""
    dataset = settings.dataset or latest_dataset()
    model = settings.model or models.default_for(datasets.load(dataset).image_size)
    return settings.model_copy(update={"dataset": dataset, "model": model, "run": settings.run or _next_run(dataset, model, settings.slots)})


def _next_run(dataset: str, model: str, slots: int) -> str:
    """The first free name in the default workspace, so that the same command can be given again."""
    root = storage.normalise("workspace/runs")
    # HDFS takes no colon in a name, which a model of one's own has.
    stem, taken = f"{storage.name(dataset)}-{model.replace(':', '.')}-{slots}slot", set(storage.children(root))
    number = 1
    while f"{stem}-{number}" in taken:
        number += 1
    return storage.join(root, f"{stem}-{number}")


def check(settings: TrainSettings) -> TrainingJob:
    """Everything that can be refused without Spark.

    Raises:
        UsageError: a flag that does not fit the dataset or the engine, or a run that is there already.
        DataError: the dataset is missing, unfinished, of another version or incomplete.
    """
    settings = resolve(settings)
    assert settings.dataset is not None
    assert settings.model is not None
    check_engine(settings.engine, settings)
    if settings.mlflow_experiment and find_spec("mlflow") is None:
        raise UsageError("MLflow is not installed", received=f"--mlflow-experiment {settings.mlflow_experiment}", accepted="no --mlflow-experiment, or first make mlflow, or pip install 'slotwise[mlflow]'")
    models.check(settings.model, settings.model_parameters)
    record = datasets.load(settings.dataset)
    datasets.check_files(settings.dataset, record)
    datasets.check_trainable(settings.dataset, record)
    if settings.slots > record.logical_shards:
        raise UsageError(
            f"The dataset has {record.logical_shards} logical shards, and a slot needs at least one",
            received=f"--slots {settings.slots}",
            accepted=f"1 to {record.logical_shards}, or a dataset prepared with more --logical-shards",
        )
    training_plan(record, settings)
    if settings.patience and not record.splits["validation"].samples:
        raise UsageError("The dataset has no validation images to tell by when to end", received=f"--patience {settings.patience}", accepted="no --patience, or a dataset with a validation split")
    job = TrainingJob(settings=settings, resume=settings.resume)
    _check_place(job, record)
    return job


def check_engine(engine: Engine, settings: TrainingSettings) -> None:
    """Sees that an engine is here, and can do the arithmetic asked for.

    Raises:
        UsageError: it is not, or cannot.
    """
    if engine != "torch":
        return
    if installed_versions()["torch"] == "absent":
        raise UsageError("PyTorch is not installed", received="--engine torch", accepted="--engine tensorflow, or first make torch, or pip install 'slotwise[torch]'")
    if settings.precision == "mixed_float16":
        raise UsageError("The torch engine does not scale losses, which 16-bit gradients need", received="--precision mixed_float16 --engine torch", accepted="--precision mixed_bfloat16")


def _check_place(job: TrainingJob, record: DatasetRecord) -> None:
    """Sees that the run's place is free, or that this is the run to go on with."""
    settings, paths = job.settings, RunPaths(job.run)
    if settings.resume:
        if not storage.children(paths.checkpoints):
            raise UsageError("There is no checkpoint to go on from", received=f"--resume --run {settings.run}", accepted="a run that has finished at least one epoch")
        if checkpoint := Checkpoints(paths.checkpoints).latest():
            check_resumable(checkpoint.progress, job, record.fingerprint)
    elif storage.children(job.run):
        if not any(map(storage.exists, (paths.record, paths.checkpoints, paths.failures, paths.audit, paths.lock))):
            # --overwrite removes the whole directory: nobody means a dataset, or all that is in their home.
            raise UsageError("There is something else than a run already, which is not replaced", received=f"--run {settings.run}", accepted="another --run")
        if not settings.overwrite:
            state = "a finished run" if storage.exists(paths.record) else "an unfinished run"
            raise UsageError(f"There is {state} already", received=f"--run {settings.run}", accepted="another --run, --resume to go on with it, or --overwrite to replace it")


def start_session(settings: TrainSettings, application: str | None = None) -> SparkSession:
    """The Spark session that a training needs, under the name `application` if it is one of several trainings.

    Raises:
        UsageError: the Spark configuration cannot work.
    """
    conf = session.effective_conf()
    preflight.check_conf(conf, settings)
    name = f"slotwise train {settings.model or 'a model'} on {settings.slots} slot{'s' if settings.slots > 1 else ''}"
    spark = session.start(application or name, conf, {"spark.task.cpus": str(settings.cores_per_slot)})
    if settings.model:
        ship(spark, models.definition(settings.model))
    return spark


def join_session(spark: SparkSession, settings: TrainSettings) -> None:
    """Sees that a training can do with a session that runs already, and gives its executors the model.

    Raises:
        UsageError: the session's configuration cannot work.
    """
    conf = spark.sparkContext.getConf()
    conf.setIfMissing("spark.task.cpus", "1")  # what Spark takes where nothing is said, and a running session keeps
    preflight.check_conf(conf, settings)
    if settings.model:
        ship(spark, models.definition(settings.model))


def train(spark: SparkSession, job: TrainingJob, laps: Laps | None = None) -> RunRecord:
    """Trains a checked job on a cluster that is looked at first; returns the run's record.

    Args:
        laps: what was done for it before; nothing, unless told.

    Raises:
        UsageError: the cluster has too few slots, or another training is at work on the run.
        Interrupted: a signal ended it, with a checkpoint to go on from.
        TrainingFailed: the slots could not do it, or did not feed every sample as they should have.
    """
    laps = laps or Laps()
    preflight.check_slots(spark, job.settings.slots, job.settings.cores_per_slot)
    preflight.check_executors(spark, job.settings.slots, job.dataset, job.settings.engine)
    laps.lap("checks")
    return carry_out(spark, job, laps)


def carry_out(spark: SparkSession, job: TrainingJob, laps: Laps, among: Interruption | None = None) -> RunRecord:
    """Trains a checked job on a checked cluster and writes its run; returns the record.

    Args:
        laps: what was done for it before.
        among: what asks this and other trainings to stop, where it is one of several at the same time.

    Raises:
        UsageError: another training is at work on the run.
        Interrupted: a signal ended it, with a checkpoint to go on from.
        TrainingFailed: the slots could not do it, or did not feed every sample as they should have.
    """
    settings, paths = job.settings, RunPaths(job.run)
    with RunLock(paths.lock, f"{spark.sparkContext.appName} ({spark.sparkContext.applicationId})"):
        if settings.overwrite:
            for name in storage.children(job.run):
                if name != storage.name(paths.lock):
                    storage.delete(storage.join(job.run, name))
        launched, began = time.time(), time.monotonic()
        trained = supervise.train_to_the_end(spark, job, among)
        record = _record(job, trained, laps, launched, time.monotonic() - began)
        from slotwise.report.run import run_report  # matplotlib's half a second is spent after the training, not before Spark starts

        storage.write_text(paths.report, run_report(record))
        storage.write_text(paths.record, record.model_dump_json(indent=2) + "\n")
    tell(spark, record, job.name)
    if settings.mlflow_experiment:
        send_apart(job.run)
    if record.audit.faults:
        raise TrainingFailed(f"The run at {job.run} is whole, but its audit is not: {record.audit}")
    return record


def _record(job: TrainingJob, trained: Trained, laps: Laps, launched: float, seconds: float) -> RunRecord:
    """`run.json` of a training that has ended well."""
    settings, result = job.settings, trained.result
    laps.lap("placing", at=result.began)
    dataset = datasets.load(job.dataset)
    plan = training_plan(dataset, settings)
    return RunRecord(
        version=VERSION,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        dataset=job.dataset,
        dataset_fingerprint=dataset.fingerprint,
        model=job.model,
        engine=settings.engine,
        slots=settings.slots,
        train_seconds=sum(epoch.seconds for epoch in result.epochs),
        total_seconds=seconds,
        launched=launched,
        images_per_second=_typical_speed([epoch.images_per_second for epoch in result.epochs]),
        placement=[_with_shards(slot, len(trained.placement), dataset.logical_shards) for slot in trained.placement],
        restarts=trained.restarts,
        starting={**({} if trained.restarts else laps.seconds), **result.starting},
        audit=audit.check(job.run, len(result.epochs), plan.images),
        settings=settings.model_dump(mode="json"),
        class_names=dataset.classes,
        **result.model_dump(exclude={"began", "starting"}),
    )


def _typical_speed(speeds: list[float]) -> float:
    """Median over the epochs after the first, which has the tracing in it."""
    later = sorted(speeds[1:] or speeds)
    middle = len(later) // 2
    return later[middle] if len(later) % 2 else (later[middle - 1] + later[middle]) / 2


def _with_shards(slot: SlotRecord, slots: int, logical_shards: int) -> SlotRecord:
    return slot.model_copy(update={"logical_shards": list(slot_shards(slot.slot, slots, logical_shards))})


def describe(record: RunRecord) -> str:
    """What the driver prints at the end."""
    stretches = ", ".join(f"{name} {seconds:.1f}" for name, seconds in record.starting.items())
    return (
        f"test accuracy {record.test_accuracy:.2%}, test loss {record.test_loss:.4f} on {record.test_images:,} images "
        f"(weights of epoch {record.best_epoch}); {record.train_seconds:.1f} s of training, {record.images_per_second:,.0f} images/s "
        f"on {record.slots} slot{'s' if record.slots > 1 else ''}\n"
        f"first step after {sum(record.starting.values()):.1f} s ({stretches})\naudit: {record.audit}\nrun: {record.uri}\nreport: {RunPaths(record.uri).report}"
    )
