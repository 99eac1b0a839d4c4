"""From a dataset and a search space to the best settings: checks, trials, report."""

from __future__ import annotations

import shlex
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from pyspark.sql import SparkSession

from slotwise import models, session, storage
from slotwise.cluster import preflight
from slotwise.cluster.ship import ship
from slotwise.config import first_change
from slotwise.contracts import dataset as datasets
from slotwise.contracts import search as searches
from slotwise.contracts.dataset import DatasetRecord
from slotwise.contracts.paths import SearchPaths
from slotwise.contracts.search import VERSION, Axis, SearchRecord, SearchState, TrialRecord
from slotwise.errors import DataError, TrainingFailed, UsageError
from slotwise.pipelines import train
from slotwise.pipelines.trials import Trials, trial_settings
from slotwise.settings.train import TrainSettings
from slotwise.settings.training import TrainingSettings, check_batch_size
from slotwise.settings.tune import TuneSettings
from slotwise.training.lock import RunLock
from slotwise.tuning import space, write
from slotwise.tuning.oracle import Oracle

# What a search may be gone on with otherwise: where and how it runs, not what comes of it.
_FREE = {
    "cores_per_slot", "use_gpu", "local_cache", "feed_memory", "checkpoint_seconds", "checkpoint_steps", "keep_checkpoints", "restarts",
    "slot_timeout", "rendezvous_timeout",
}  # fmt: skip


@dataclass(frozen=True)
class SearchJob:
    """A search that is ready to start, or to go on."""

    settings: TuneSettings
    """With `dataset` and `model` filled in."""
    state: SearchState
    oracle: Oracle
    example: TrainSettings
    """The first of its trainings, for what they all share."""


def run(settings: TuneSettings, command: str, spark: SparkSession | None = None) -> SearchRecord:
    """Searches in the session given, or in one of its own; returns the record.

    Args:
        command: what the user typed.

    Raises:
        SlotwiseError: as `check`, before Spark does anything, and `search`.
    """
    job = check(settings)
    if spark is not None:
        train.join_session(spark, job.example)
    with session.lent(spark, lambda: train.start_session(job.example, f"slotwise tune {job.settings.model} by {settings.oracle}")) as active:
        return search(active, job, command)


def check(settings: TuneSettings) -> SearchJob:
    """Everything that can be refused without Spark.

    Raises:
        UsageError: the space is empty or names what cannot be searched; a value, or the model, does not fit the dataset; there is a search
            already, or one to go on with that was begun otherwise.
        DataError: the dataset or the search to go on with is missing or damaged.
    """
    axes = space.read(settings.space)
    _check_place(settings)
    first = _first_training(settings, axes)
    settings = settings.model_copy(update={"dataset": first.dataset, "model": settings.model or first.model})
    record = datasets.load(str(first.dataset))
    if not record.splits["validation"].samples:
        raise UsageError("The dataset has no validation images to tell the trials apart by", received=f"--dataset {first.dataset}", accepted="a dataset with a validation split")
    _check_axes(axes, first, record)
    new = SearchState(
        version=VERSION, dataset=str(first.dataset), dataset_fingerprint=record.fingerprint, oracle=settings.oracle, space=axes,
        settings=_shared(settings), trials=[], order=[],
    )  # fmt: skip
    state = _begun(settings, new) if settings.resume else new
    _check_fit(first, record)
    oracle = Oracle(settings.oracle, axes, epochs=settings.epochs, max_trials=settings.max_trials, seed=settings.seed)
    oracle.go_through(state)
    return SearchJob(settings, state, oracle, first)


def _check_place(settings: TuneSettings) -> None:
    paths = SearchPaths(settings.output)
    if settings.resume:
        if not storage.exists(paths.state):
            raise UsageError("There is no search to go on with", received=f"--resume --output {settings.output}", accepted="the --output of a search that has begun, or no --resume")
    elif storage.children(settings.output):
        if not storage.exists(paths.state):
            # --overwrite removes the whole directory: nobody means a dataset, or all that is in their home.
            raise UsageError("There is something else than a search already, which is not replaced", received=f"--output {settings.output}", accepted="another --output")
        if not settings.overwrite:
            raise UsageError("There is a search already", received=f"--output {settings.output}", accepted="another --output, --resume to go on with it, or --overwrite to replace it")


def _first_training(settings: TuneSettings, axes: list[Axis]) -> TrainSettings:
    """The training of each axis's first value, checked as any training is; it leaves alone what is in its place."""
    values = {axis.name: space.values_tried(axis)[0] for axis in axes}
    nowhere = storage.temporary(SearchPaths(settings.output).trial(1))
    trial = TrialRecord(number=1, values=values, epochs=settings.epochs, run=nowhere)
    return train.check(trial_settings(settings, trial)).settings


def _check_axes(axes: list[Axis], first: TrainSettings, record: DatasetRecord) -> None:
    """Sees that every single value can be trained on this dataset; which of them do not go together, trials will say."""
    chosen = {axis.name: space.values_tried(axis) for axis in axes}
    for axis, values in chosen.items():
        for value in values:
            if axis == "batch_size":
                check_batch_size(int(value), record.logical_shards)
    parameters = {name.partition(".")[2]: values[0] for name, values in chosen.items() if name.startswith("model_parameters.")}
    for name in _models(axes, first):
        models.check(name, {**first.model_parameters, **parameters})


def _models(axes: list[Axis], first: TrainSettings) -> list[str]:
    """The models that are tried, the first training's first."""
    return [str(value) for axis in axes if axis.name == "model" for value in axis.values] or [str(first.model)]


def _check_fit(first: TrainSettings, record: DatasetRecord) -> None:
    """Builds the model once for the dataset's images, in the driver: its Keras is loaded for the oracle anyway."""
    import tensorflow as tf

    with suppress(RuntimeError):  # it is in use already, in a notebook
        tf.config.set_visible_devices([], "GPU")
    models.build(str(first.model), (*record.image_size, record.channels), len(record.classes), first.model_parameters)


def _shared(settings: TuneSettings) -> dict[str, Any]:
    return settings.model_dump(mode="json", include={*TrainingSettings.model_fields, "engine"} - _FREE)


def _begun(settings: TuneSettings, new: SearchState) -> SearchState:
    """The state to go on with, of a search that is the same but for how far it is.

    Raises:
        UsageError: it is another search.
        DataError: it is damaged, or the dataset has changed.
    """
    found = searches.load(SearchPaths(settings.output).state)
    what, accepted = f"The search at {settings.output} was begun otherwise", "as it was begun, another --output, or --overwrite to begin anew"
    if found.dataset_fingerprint != new.dataset_fingerprint:
        raise DataError(f"The search at {settings.output} was begun on other data than {new.dataset} holds now")
    if found.oracle != new.oracle:
        raise UsageError(what, received=f"--oracle {new.oracle}", accepted=f"--oracle {found.oracle}, {accepted}")
    if found.space != new.space:
        spaces = ["; ".join(f"{axis.name} {axis}" for axis in each.space) for each in (new, found)]
        raise UsageError(what, received=f"--space with {spaces[0]}", accepted=f"{spaces[1]}, {accepted}")
    if change := first_change(found.settings, new.settings):
        raise UsageError(what, received=change.now, accepted=f"{change.then}, {accepted}")
    return found


def search(spark: SparkSession, job: SearchJob, command: str) -> SearchRecord:
    """Searches, and writes what came of it.

    Args:
        command: what the user typed.

    Raises:
        UsageError: the cluster has too few slots, or another search is at work in the same place.
        Interrupted: a signal ended it; `--resume` goes on.
        TrainingFailed: no trial finished, or the cluster has no slot any more.
    """
    settings, paths, began = job.settings, SearchPaths(job.settings.output), time.monotonic()
    slots = settings.slots or preflight.all_slots(spark)
    preflight.check_slots(spark, slots, settings.cores_per_slot)
    preflight.check_executors(spark, slots, job.state.dataset, settings.engine)
    for name in _models(job.state.space, job.example)[1:]:  # the first went to the executors with the session
        ship(spark, models.definition(name))
    with RunLock(paths.lock, f"{spark.sparkContext.appName} ({spark.sparkContext.applicationId})", work="search", place="output"):
        if settings.overwrite:
            for name in storage.children(settings.output):
                if name != storage.name(paths.lock):
                    storage.delete(storage.join(settings.output, name))
        state = Trials(spark, settings, job.state, job.oracle).run(slots)
        if state.best is None:
            raise TrainingFailed(f"None of {len(state.trials)} trials finished; {paths.state} has the reasons, the first is: {state.trials[0].reason}")
        record = SearchRecord(
            **state.model_dump(),
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            command=command,
            slots=slots,
            seconds=time.monotonic() - began,
            commands=_next_commands(settings),
        )
        write.write(record, trial_settings(settings, state.best), settings.output)
    return record


def _next_commands(settings: TuneSettings) -> list[str]:
    """The final training on all images but the test split's, and its evaluation."""
    final = storage.join(settings.output, "final")
    return [
        shlex.join(["spark-submit", "jobs/train_distributed.py", "--config", SearchPaths(settings.output).best, "--train-on", "train+validation", "--run", final]),
        shlex.join(["spark-submit", "jobs/evaluate.py", "--runs", final, "--output", storage.join(settings.output, "evaluation")]),
    ]
