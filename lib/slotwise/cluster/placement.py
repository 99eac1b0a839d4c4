"""Where Spark put things: executors, their cores, and which of them ran a phase."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from pyspark.accumulators import Accumulator, AccumulatorParam
from pyspark.sql import SparkSession


class Executor(NamedTuple):
    """One live executor; `task_slots` is how many tasks of `spark.task.cpus` it runs at a time."""

    id: str
    host: str
    cores: int
    task_slots: int


class Place(NamedTuple):
    """Where a slot trains: the host's own name, its GPUs' numbers there."""

    host: str
    gpus: list[str]


Places: TypeAlias = Accumulator[dict[int, Place]]
"""What the slots of a launch say of their places, by slot; Spark brings it to the driver as their tasks end."""


class _Union(AccumulatorParam[dict[int, Place]]):
    def zero(self, value: dict[int, Place]) -> dict[int, Place]:
        return {}

    def addInPlace(self, value1: dict[int, Place], value2: dict[int, Place]) -> dict[int, Place]:  # noqa: N802 - Spark's name
        return value1 | value2


def places(spark: SparkSession) -> Places:
    """None yet; tasks add theirs."""
    return spark.sparkContext.accumulator({}, _Union())


def executors(spark: SparkSession) -> list[Executor]:
    """The executors that can run tasks now (in local mode, the driver)."""
    summaries = spark.sparkContext._jsc.sc().statusStore().executorList(True)  # type: ignore[union-attr]
    found = [summaries.apply(number) for number in range(summaries.size())]
    return [
        Executor(item.id(), item.hostPort().rpartition(":")[0], item.totalCores(), item.maxTasks())
        for item in found
        if item.isActive() and item.totalCores() > 0
    ]


def executors_of(spark: SparkSession, group: str) -> dict[int, str]:
    """Executor id of each partition of the last job of a job group."""
    context = spark.sparkContext
    jobs = context.statusTracker().getJobIdsForGroup(group)
    info = context.statusTracker().getJobInfo(max(jobs)) if jobs else None
    if info is None:
        return {}
    store = context._jsc.sc().statusStore()  # type: ignore[union-attr]
    tasks = store.taskList(max(info.stageIds), 0, 10_000)
    return {tasks.apply(number).index(): tasks.apply(number).executorId() for number in range(tasks.size())}
