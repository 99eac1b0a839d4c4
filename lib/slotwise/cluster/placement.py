"""Where Spark put things: executors, their cores, and which of them ran a phase."""

from __future__ import annotations

from typing import NamedTuple

from pyspark.sql import SparkSession


class Executor(NamedTuple):
    """One live executor; `task_slots` is how many tasks of `spark.task.cpus` it runs at a time."""

    id: str
    host: str
    cores: int
    task_slots: int


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
