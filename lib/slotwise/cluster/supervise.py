"""A training that outlives its slots: launched again from its last checkpoint when some were lost, with fewer if need be."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass

from pyspark.sql import SparkSession

from slotwise.cluster import launch, preflight
from slotwise.cluster.interruption import Interruption
from slotwise.contracts.job import TrainingJob, TrainingResult
from slotwise.contracts.run import RestartRecord, SlotRecord
from slotwise.errors import Interrupted, SlotsLost
from slotwise.settings.train import TrainSettings

_FIRST_PAUSE_SECONDS = 2.0


@dataclass(frozen=True)
class Trained:
    """How a training ended: its result, where its last slots ran, and each time it was taken up again."""

    result: TrainingResult
    placement: list[SlotRecord]
    restarts: list[RestartRecord]


def train_to_the_end(spark: SparkSession, job: TrainingJob, among: Interruption | None = None) -> Trained:
    """Launches a job, again after each loss of slots, at most `restarts` times with growing pauses.

    A barrier stage is not retried by Spark, so the driver does it. Errors of the program itself are not retried.

    Args:
        among: what asks this and other trainings to stop, where it is one of several at the same time.

    Raises:
        Interrupted: a signal ended it; the slots left a checkpoint.
        SlotsLost: slots were lost once too often, or too few are left to go on with.
        TrainingFailed: a slot failed by itself.
    """
    with ExitStack() as stack:
        interruption = among or stack.enter_context(Interruption(spark))
        stack.enter_context(interruption.over(job.run))
        return _train(spark, job, interruption)


def _train(spark: SparkSession, job: TrainingJob, interruption: Interruption) -> Trained:
    began, restarts, attempt = time.monotonic(), list[RestartRecord](), job
    while True:
        try:
            result, placement = launch.launch(spark, attempt)
            return Trained(result, placement, restarts)
        except SlotsLost as lost:
            noticed = time.monotonic() - began
            if interruption.is_asked:
                raise Interrupted(f"The training was stopped while slots were lost. Go on with --resume --run {job.run}") from lost
            if len(restarts) >= job.settings.restarts:
                raise
            print(f"{job.before_lines}{lost}", flush=True)
            time.sleep(_FIRST_PAUSE_SECONDS * 2 ** len(restarts))
            slots = _slots_to_go_on_with(spark, job.settings, lost)
            restarts.append(RestartRecord(reason=str(lost), slots=slots, seconds=time.monotonic() - began, lost=noticed))
            print(f"{job.before_lines}restart {len(restarts)} of at most {job.settings.restarts}: from the last checkpoint, on {slots} slots", flush=True)
            attempt = job.model_copy(update={"resume": True, "settings": job.settings.model_copy(update={"slots": slots})})


def _slots_to_go_on_with(spark: SparkSession, settings: TrainSettings, lost: SlotsLost) -> int:
    available = min(preflight.available_slots(spark, settings.slots), settings.slots)
    fewest = settings.min_slots or settings.slots
    if available < fewest:
        raise SlotsLost(f"{lost}\n{available} slots are left, too few to go on with: --min-slots is {fewest}") from lost
    return available
