"""Keeps Spark from saying over pages of Java what slotwise says in one line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import SparkSession

# Each of them prints a failed task's error with its Java stack; the same error reaches the driver as an exception. A task's context
# has one too where the job's broadcasts went before the task did.
_LOGGERS = ("org.apache.spark.executor.Executor", "org.apache.spark.scheduler.TaskSetManager", "org.apache.spark.TaskContextImpl")


@contextmanager
def failed_tasks_unsaid(spark: SparkSession) -> Iterator[None]:
    """Inside, the driver's console does not show how a task failed: who uses this catches the error and explains it.

    After an error it stays so, because the tasks that Spark then kills report one after the other.
    """
    log4j = spark.sparkContext._jvm.org.apache.logging.log4j  # type: ignore[union-attr]
    levels = {name: log4j.LogManager.getLogger(name).getLevel() for name in _LOGGERS}
    for name in _LOGGERS:
        log4j.core.config.Configurator.setLevel(name, log4j.Level.OFF)
    yield
    for name, level in levels.items():
        log4j.core.config.Configurator.setLevel(name, level)


def reason(error: Exception) -> str:
    """The line of a Spark failure that says what happened in the executor's Python, else its first line."""
    lines = str(error).splitlines()
    python = [line for line in lines if re.match(r"(?!org\.|java\.|py4j\.)[A-Za-z_][\w.]*(Error|Exception)\b", line)]
    return (python or lines)[0]
