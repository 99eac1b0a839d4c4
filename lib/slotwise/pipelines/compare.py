"""From finished runs, or from a dataset whose runs are still to be done, to a comparison."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from pyspark.sql import SparkSession

from slotwise import compare, session, storage
from slotwise.cluster import preflight
from slotwise.compare import Published
from slotwise.config import first_change
from slotwise.contracts import run as runs
from slotwise.contracts.comparison import ComparisonRecord
from slotwise.contracts.job import TrainingJob
from slotwise.contracts.paths import RunPaths
from slotwise.errors import UsageError
from slotwise.pipelines import train
from slotwise.report import wording
from slotwise.settings.compare import CompareSettings
from slotwise.settings.train import TrainSettings
from slotwise.settings.training import Engine, TrainingSettings


def check(settings: CompareSettings) -> list[TrainingJob]:
    """The trainings still to be done, in the order to do them: slot counts in turn, so that drift of the machine hits all alike.

    Raises:
        UsageError: something of these settings cannot be done, said before anything is.
    """
    if not settings.resume:
        compare.refuse_existing(settings.output, overwrite=settings.overwrite)
    trainings = _trainings(settings)
    if trainings and storage.children(settings.run_directory) and not (settings.overwrite or settings.resume):
        raise UsageError(
            "There are runs of an earlier comparison already",
            received=settings.run_directory,
            accepted="--resume to go on with them, --overwrite to replace them, another --output, or --runs to compare those that are finished",
        )
    return [train.check(training) for training in trainings if not (settings.resume and _is_finished(training))]


def _is_finished(training: TrainSettings) -> bool:
    """Whether there is a finished run in this training's place.

    Raises:
        UsageError: there is, and it was made with other settings.
    """
    if not storage.exists(RunPaths(str(training.run)).record):
        return False
    found = runs.load(str(training.run)).settings
    wanted = train.resolve(training).model_dump(mode="json", include={"model", "epochs", "seed", *compare.SHARED_SETTINGS})
    if change := first_change(found, wanted):
        raise UsageError(f"The finished run at {training.run} was made otherwise", received=change.now, accepted=f"{change.then}, another --output, or --overwrite")
    return True


def _trainings(settings: CompareSettings) -> list[TrainSettings]:
    """All trainings of a comparison that does its own."""
    if settings.dataset is None:
        return []
    return [
        _training(settings, engine, slots, repeat) for repeat in range(settings.repeats) for slots in settings.slots for engine in settings.engines
    ]


def _training(settings: CompareSettings, engine: Engine, slots: int, repeat: int) -> TrainSettings:
    run = storage.join(settings.run_directory, f"{engine}-{slots}slot-{repeat + 1}")
    has_begun = settings.resume and bool(storage.children(RunPaths(run).checkpoints))
    shared = {name: getattr(settings, name) for name in TrainingSettings.model_fields}
    own = {"seed": settings.seed + repeat, "resume": has_begun, "overwrite": not has_begun}
    return TrainSettings(dataset=settings.dataset, run=run, engine=engine, slots=slots, **{**shared, **own})


def run_all(jobs: Sequence[TrainingJob], spark: SparkSession | None = None) -> None:
    """Does the trainings one after the other in the session given, or in one of its own; nothing to do needs none.

    Raises:
        UsageError: the Spark configuration cannot work, or the cluster has too few slots for one of them; none was started.
    """
    if not jobs:
        return
    counts = sorted({job.settings.slots for job in jobs})
    largest = max((job.settings for job in jobs), key=lambda settings: settings.slots)
    application = f"slotwise compare {jobs[0].model} on {' and '.join(map(str, counts))} slots"
    if spark is not None:
        train.join_session(spark, largest)
    with session.lent(spark, lambda: train.start_session(largest, application)) as active:
        preflight.check_slots(active, largest.slots, largest.cores_per_slot)
        for number, job in enumerate(jobs, 1):
            slots = wording.count(job.settings.slots, "slot")
            print(f"run {number} of {len(jobs)}: {job.model} on {slots}{_by(jobs, job)}, seed {job.settings.seed}", flush=True)
            train.train(active, job)


def _by(jobs: Sequence[TrainingJob], job: TrainingJob) -> str:
    return f" by {job.settings.engine}" if len({each.settings.engine for each in jobs}) > 1 else ""


def finish(settings: CompareSettings, command: Sequence[str]) -> ComparisonRecord:
    """Compares runs: those just done, those given, or the largest comparable group of the default workspace.

    Args:
        command: what the user typed, word by word.

    Raises:
        UsageError: there are none, or they are not comparable.
    """
    chosen = [str(training.run) for training in _trainings(settings)] or list(settings.runs)
    if not chosen:
        choice = compare.choose_runs(compare.find_runs())
        chosen = choice.runs
        for uri, why in choice.left_out:
            print(f"left out: {uri}: {why}", flush=True)
    published = Published(settings.published, settings.published_accuracy)
    return compare.compare_runs(chosen, settings.output, overwrite=settings.overwrite or settings.resume, command=shlex.join(command), published=published)
