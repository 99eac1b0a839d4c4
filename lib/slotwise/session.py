"""The Spark session of a job: settings checked before it starts, phases named so that the History Server tells the story."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession
from pyspark.traceback_utils import SCCallSiteSync

from slotwise import storage
from slotwise.localcluster.state import running_cluster


def effective_conf() -> SparkConf:
    """What spark-submit, its properties file and its defaults have set, before any context exists."""
    SparkContext._ensure_initialized()
    return SparkConf()


def start(application: str, conf: SparkConf, extra: Mapping[str, str] | None = None) -> SparkSession:
    """Starts the session named `application`; `extra` fills in what the user has left unset.

    Event logs go to `spark.eventLog.dir`; where the user names none, to the local cluster's HDFS if it is the master,
    else to `workspace/spark-events`.
    """
    defaults = {
        "spark.master": "local[*]",
        "spark.eventLog.dir": _event_log_directory(conf),
        "spark.sql.session.timeZone": "UTC",
        "spark.ui.showConsoleProgress": "true" if sys.stderr.isatty() else "false",
        **(extra or {}),
    }
    for key, value in defaults.items():
        conf.setIfMissing(key, value)
    conf.setAppName(application)
    if conf.get("spark.eventLog.enabled", "false") == "true":
        storage.make_directory(storage.normalise(str(conf.get("spark.eventLog.dir"))))
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    return SparkSession.builder.config(conf=conf).getOrCreate()


def _event_log_directory(conf: SparkConf) -> str:
    cluster = running_cluster()
    if cluster is not None and conf.get("spark.master") == cluster.master:
        return cluster.event_logs
    return storage.normalise("workspace/spark-events")


@contextmanager
def phase(spark: SparkSession, title: str) -> Iterator[None]:
    """Names every job and stage started inside, for example "download covers"."""
    context = spark.sparkContext
    context.setJobGroup(title, title)
    try:
        with _CallSite(context, title):
            yield
    finally:
        context.setLocalProperty("spark.jobGroup.id", None)  # type: ignore[arg-type]
        context.setLocalProperty("spark.job.description", None)  # type: ignore[arg-type]


class _CallSite(SCCallSiteSync):
    """pyspark's own way to name a stage, with our words in place of "collect at file.py:12"."""

    def __init__(self, context: SparkContext, title: str) -> None:
        super().__init__(context)
        self._call_site = title
