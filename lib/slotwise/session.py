"""The Spark session of a job: settings checked before it starts, phases named so that the History Server tells the story."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from typing import TypeVar

from py4j.protocol import Py4JError
from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession
from pyspark.traceback_utils import SCCallSiteSync
from pyspark.util import inheritable_thread_target

from slotwise import storage
from slotwise.errors import DataError
from slotwise.localcluster.spark import archived_classes
from slotwise.localcluster.state import running_cluster

Found = TypeVar("Found")

_TURN_SECONDS = 0.0002


def effective_conf() -> SparkConf:
    """What spark-submit, its properties file and its defaults have set, before any context exists."""
    SparkContext._ensure_initialized()
    return SparkConf()


def start(application: str, conf: SparkConf, extra: Mapping[str, str] | None = None, meanwhile: Sequence[str] = ()) -> SparkSession:
    """Starts the session named `application`; `extra` fills in what the user has left unset.

    The modules named by `meanwhile`, which are wanted later, are imported in the two seconds for which Python waits for Java.

    Event logs go to `spark.eventLog.dir`; where the user names none, to `/spark-events` on the local cluster's HDFS, if that is
    the master, or on the file system that YARN's Hadoop configuration names, else to `workspace/spark-events`.

    Raises:
        DataError: Spark does not start.
    """
    defaults = {
        "spark.master": "local[*]",
        **_local_settings(conf),
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
    try:
        with _imported(meanwhile):
            return _created(conf)
    except Py4JError as error:
        causes = re.findall(r"(?:^|Caused by: |^: )([\w.$]+(?:Exception|Error): .*)", str(error), re.MULTILINE)
        raise DataError(f"Spark did not start on {conf.get('spark.master')}: {causes[-1] if causes else error}") from error


def _created(conf: SparkConf) -> SparkSession:
    """A new session; it is tried again where YARN's application master changed the filters of Spark's UI just while the UI started.

    Spark 4 guards neither side: `SparkUI.attachAllHandlers` walks the list to which `YarnSchedulerBackend.addWebUIFilter` adds.
    """
    create = SparkSession.builder.config(conf=conf).getOrCreate
    try:
        return create()
    except Py4JError as error:
        if "ConcurrentModificationException" not in str(error) or "attachAllHandlers" not in str(error):
            raise
        print("Spark's UI and YARN's application master got into each other's way (a race inside Spark): starting again", file=sys.stderr, flush=True)
        return create()


@contextmanager
def _imported(modules: Sequence[str]) -> Iterator[None]:
    """Imports modules in a thread of its own beside what is done inside, and waits for it at the end."""
    with _short_turns(), ThreadPoolExecutor(1, thread_name_prefix="imports") as pool:
        imports = [pool.submit(import_module, module) for module in modules]
        yield
    for done in imports:
        done.result()


def submitted(spark: SparkSession) -> float:
    """When the driver's Java began, in seconds since 1970."""
    milliseconds = spark._jvm.java.lang.management.ManagementFactory.getRuntimeMXBean().getStartTime()  # type: ignore[union-attr]
    return float(milliseconds) / 1000


def running() -> SparkSession | None:
    """The session that this process has already, as a notebook does; None where it has none."""
    return SparkSession.builder.getOrCreate() if SparkContext._active_spark_context is not None else None


@contextmanager
def lent(spark: SparkSession | None, start: Callable[[], SparkSession]) -> Iterator[SparkSession]:
    """The session given, which goes on afterwards; where there is none, one that is started now and stopped at the end."""
    if spark is not None:
        yield spark
        return
    with start() as started:
        yield started


def _local_settings(conf: SparkConf) -> dict[str, str]:
    cluster = running_cluster()
    master = conf.get("spark.master") or "local[*]"
    on_cluster = cluster is not None and (master == cluster.master or (master == "yarn" and _is_configured_by(cluster.hadoop_conf)))
    settings = {"spark.eventLog.dir": cluster.event_logs if cluster and on_cluster else _event_logs(master)}
    if on_cluster or master.startswith("local"):
        # All of it runs on this machine: nothing has to be reachable from outside, whatever the host's name resolves to.
        settings |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    if on_cluster:
        settings |= archived_classes()
        settings["spark.hadoop.dfs.replication"] = "1"  # it has one DataNode
    return settings


def _is_configured_by(directory: str) -> bool:
    return os.path.realpath(os.environ.get("HADOOP_CONF_DIR", os.devnull)) == os.path.realpath(directory)


def _event_logs(master: str) -> str:
    """Below the workspace; on YARN, whose driver's directory may be a container's that soon is gone, on the cluster's own file system."""
    if master == "yarn":
        root = str(SparkContext._jvm.org.apache.hadoop.conf.Configuration().get("fs.defaultFS"))  # type: ignore[union-attr]
        if not storage.is_local(root):
            return storage.join(root, "spark-events")
    return storage.normalise("workspace/spark-events")


@contextmanager
def phase(spark: SparkSession, title: str, group: str = "") -> Iterator[None]:
    """Names every job and stage started inside, for example "download covers"; after an inner phase the outer name holds again.

    Args:
        group: the jobs' group, which the UI shows in a narrow column; the title, unless told.
    """
    context = spark.sparkContext
    outer = {key: context.getLocalProperty(key) for key in ("spark.jobGroup.id", "spark.job.description")}
    context.setJobGroup(group or title, title)
    try:
        with _CallSite(context, title, outer["spark.job.description"]):
            yield
    finally:
        for key, value in outer.items():
            context.setLocalProperty(key, value)  # type: ignore[arg-type]


@contextmanager
def beside(spark: SparkSession, title: str, work: Callable[[], Found]) -> Iterator[Future[Found]]:
    """Does `work` as the phase `title` in a thread of its own beside what is done inside, and waits for it at the end; yields what will have come of it.

    Short jobs are a matter of planning, for which the driver takes one core each. What `work` raises is raised at the end; where
    something is raised inside, the job that `work` has running is cancelled.
    """

    def named() -> Found:
        with phase(spark, title):
            return work()

    with _short_turns(), ThreadPoolExecutor(1, thread_name_prefix=title) as pool:
        done = pool.submit(inheritable_thread_target(spark)(named))
        try:
            yield done
        except BaseException:
            spark.sparkContext.cancelJobGroup(title)
            raise
        done.result()


@contextmanager
def _short_turns() -> Iterator[None]:
    """Lets a thread that waits for Python's interpreter have it 25 times as soon as usual.

    Building a query is hundreds of short calls of Java, and after each the thread would wait for one that computes (5 ms).
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(_TURN_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def note(spark: SparkSession, text: str) -> None:
    """Puts a line among the jobs that Spark's UI and the History Server list: a job of no tasks, which needs no executor."""
    with phase(spark, text, group="record"):
        spark.sparkContext._jsc.emptyRDD().count()


@contextmanager
def settings(spark: SparkSession, values: Mapping[str, str]) -> Iterator[None]:
    """Sets SQL settings for what is started inside; afterwards they are as before."""
    before = dict(spark.conf.getAll)
    for key, value in values.items():
        spark.conf.set(key, value)
    try:
        yield
    finally:
        for key in values:
            if key in before:
                spark.conf.set(key, before[key])
            else:
                spark.conf.unset(key)


class _CallSite(SCCallSiteSync):
    """pyspark's own way to name a stage, with our words in place of "collect at file.py:12"."""

    _counting = threading.Lock()  # the depth is one for all threads

    def __init__(self, context: SparkContext, title: str, outer: str | None) -> None:
        super().__init__(context)
        self._call_site = title
        self._outer = outer

    def __enter__(self) -> None:
        self._context._jsc.setCallSite(self._call_site)
        # Above zero, pyspark's actions keep the name that is set.
        with self._counting:
            SCCallSiteSync._spark_stack_depth += 1

    def __exit__(self, *exception: object) -> None:
        with self._counting:
            SCCallSiteSync._spark_stack_depth -= 1
        self._context._jsc.setCallSite(self._outer)
