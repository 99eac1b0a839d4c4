"""From finished runs, or from a dataset whose runs are still to be done, to a comparison."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from pyspark.sql import SparkSession

from slotwise import compare, storage
from slotwise.cluster import preflight
from slotwise.contracts.comparison import ComparisonRecord
from slotwise.contracts.job import TrainingJob
from slotwise.errors import UsageError
from slotwise.pipelines import train
from slotwise.settings.compare import CompareSettings
from slotwise.settings.train import TrainSettings


def check(settings: CompareSettings) -> list[TrainingJob]:
    """The trainings still to be done, in the order to do them: slot counts in turn, so that drift of the machine hits all alike.

    Raises:
        UsageError: something of these settings cannot be done, said before anything is.
    """
    compare.refuse_existing(settings.output, overwrite=settings.overwrite)
    if settings.dataset is None:
        return []
    if storage.children(settings.run_directory) and not settings.overwrite:
        raise UsageError(
            "There are runs of an earlier comparison already",
            received=settings.run_directory,
            accepted="--overwrite to replace them, another --output, or --runs to compare those that are finished",
        )
    return [train.check(_training(settings, slots, repeat)) for repeat in range(settings.repeats) for slots in settings.slots]


def _training(settings: CompareSettings, slots: int, repeat: int) -> TrainSettings:
    return TrainSettings(
        dataset=settings.dataset,
        run=storage.join(settings.run_directory, f"{slots}slot-{repeat + 1}"),
        slots=slots,
        cores_per_slot=settings.cores_per_slot,
        model=settings.model,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        seed=settings.seed + repeat,
        overwrite=settings.overwrite,
    )


def start_session(jobs: Sequence[TrainingJob]) -> SparkSession:
    """One Spark session for all trainings.

    Raises:
        UsageError: the Spark configuration cannot work.
    """
    slots = sorted({job.settings.slots for job in jobs})
    return train.start_session(jobs[0].settings, f"slotwise compare {jobs[0].model} on {' and '.join(map(str, slots))} slots")


def run_all(spark: SparkSession, jobs: Sequence[TrainingJob]) -> list[str]:
    """Does the trainings one after the other; returns their runs.

    Raises:
        UsageError: the cluster has too few slots for one of them; none was started.
    """
    most = max((job.settings for job in jobs), key=lambda settings: settings.slots)
    preflight.check_slots(spark, most.slots, most.cores_per_slot)
    for number, job in enumerate(jobs, 1):
        print(f"run {number} of {len(jobs)}: {job.model} on {job.settings.slots} slots, seed {job.settings.seed}", flush=True)
        train.train(spark, job)
    return [job.run for job in jobs]


def finish(settings: CompareSettings, runs: Sequence[str], arguments: Sequence[str]) -> ComparisonRecord:
    """Compares runs: those given, or the largest comparable group of the default workspace.

    Raises:
        UsageError: there are none, or they are not comparable.
    """
    chosen = list(runs or settings.runs)
    if not chosen:
        choice = compare.choose_runs(compare.find_runs())
        chosen = choice.runs
        for uri, why in choice.left_out:
            print(f"left out: {uri}: {why}", flush=True)
    command = shlex.join(["spark-submit", "jobs/compare.py", *arguments])
    return compare.compare_runs(chosen, settings.output, overwrite=settings.overwrite, command=command)
