"""Places one task per slot and brings back the result, or the slot's own error."""

from __future__ import annotations

import re

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from slotwise import storage
from slotwise.cluster import placement
from slotwise.cluster.console import failed_tasks_unsaid
from slotwise.cluster.distributors import run_on_slots
from slotwise.cluster.logs import LogServer
from slotwise.contracts.job import SlotExit, SlotFailure, TrainingJob, TrainingResult
from slotwise.contracts.paths import RunPaths
from slotwise.contracts.run import SlotRecord
from slotwise.errors import Interrupted, SlotsLost, TrainingFailed
from slotwise.session import phase


def launch(spark: SparkSession, job: TrainingJob) -> tuple[TrainingResult, list[SlotRecord]]:
    """Trains a job on `job.settings.slots` slots.

    Raises:
        Interrupted: the slots were asked to stop, and left a checkpoint.
        SlotsLost: slots or executors went away; another launch may go on from the last checkpoint.
        TrainingFailed: a slot failed; the message ends with that slot's own last lines.
    """
    from py4j.protocol import Py4JJavaError

    slots = job.settings.slots
    # The group that a job's executors are looked up by: of several trainings at the same time each needs its own.
    title = f"{job.name + ': ' if job.name else ''}train {job.model} on {slots} slot{'s' if slots > 1 else ''}"
    conf = spark.sparkContext.getConf()
    host = str(conf.get("spark.driver.host"))
    storage.delete(RunPaths(job.run).failures)
    places = placement.places(spark)
    try:
        with LogServer(str(conf.get("spark.driver.bindAddress", host))) as server, phase(spark, title), failed_tasks_unsaid(spark):
            outcome = run_on_slots(job, (host, server.port), places)
    except (Py4JJavaError, PySparkException) as error:
        raise _failure(job, error) from error
    if "stopped" in outcome:
        raise Interrupted(f"The training was {outcome['stopped']}. Go on with --resume --run {job.run}")
    executors = placement.executors_of(spark, title)
    slot_records = [
        SlotRecord(slot=slot, executor=executors.get(slot, "unknown"), cores=job.settings.cores_per_slot, logical_shards=[], **place._asdict())
        for slot, place in sorted(places.value.items())
    ]
    return TrainingResult.model_validate(outcome["result"]), slot_records


def _failure(job: TrainingJob, error: Exception) -> TrainingFailed:
    """The slot that failed first by its own fault, in its own words; `SlotsLost` where no slot's program is to blame."""
    found = reported_failures(job.run)
    executor = _lost_executor(error)
    if executor and all(failure.is_lost for failure in found):
        return SlotsLost(executor)
    if not found:
        return TrainingFailed(f"The training stage failed before any slot could say why:\n{error}")
    echoes = (SlotExit.PEER_LOST, SlotExit.RENDEZVOUS_TIMEOUT)
    cause = min(found, key=lambda failure: (failure.exit_code in echoes, failure.time))
    if cause.is_lost:
        return SlotsLost(f"slot {cause.slot} on {cause.host}: {cause.message}")
    if cause.explained:
        return TrainingFailed(f"slot {cause.slot} on {cause.host}: {cause.message}")
    return TrainingFailed("\n".join([f"slot {cause.slot} on {cause.host}: {cause.message}; its last lines:", *cause.tail]))


def reported_failures(run: str) -> list[SlotFailure]:
    """What the slots of a run's last launch have said of their failures so far."""
    directory = RunPaths(run).failures
    return [SlotFailure.model_validate(storage.read_json(storage.join(directory, name))) for name in storage.finished(directory)]


def _lost_executor(error: Exception) -> str | None:
    """What Spark says of an executor that went away."""
    match = re.search(r"ExecutorLostFailure \((.*?)\)|(Executor heartbeat timed out)|(ExecutorDeadException)", str(error))
    return f"Spark lost an executor ({next(group for group in match.groups() if group)})" if match else None
