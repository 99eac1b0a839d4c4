"""Starting Spark: a race inside Spark is survived, anything else is said at once."""

from __future__ import annotations

import sys
import threading
import time

import pytest
from py4j.protocol import Py4JError
from pyspark import SparkConf
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from slotwise import session
from slotwise.errors import DataError

STARTING = "An error occurred while calling None.org.apache.spark.api.java.JavaSparkContext.\n: "
THE_RACE = f"""{STARTING}java.util.ConcurrentModificationException
\tat java.base/java.util.ArrayList$ArrayListSpliterator.forEachRemaining(ArrayList.java:1631)
\tat org.sparkproject.jetty.servlet.ServletHandler.initialize(ServletHandler.java:749)
\tat org.apache.spark.ui.SparkUI.$anonfun$attachAllHandlers$1(SparkUI.scala:84)
\tat org.apache.spark.SparkContext.<init>(SparkContext.scala:692)
"""
ANOTHER_RACE = f"{STARTING}java.util.ConcurrentModificationException\n\tat example.Plugin.start(Plugin.java:3)\n"
NO_PORT = f"{STARTING}java.net.BindException: Address already in use\n\tat org.apache.spark.ui.SparkUI.attachAllHandlers(SparkUI.scala:82)\n"


@pytest.mark.parametrize(
    ("failures", "starts"),
    [((), 1), ((THE_RACE,), 2), ((THE_RACE, THE_RACE), 2), ((ANOTHER_RACE,), 1), ((NO_PORT,), 1)],
    ids=["none", "the race", "the race twice", "another race", "no port"],
)
def test_spark_is_started_again_only_after_the_race_of_its_ui(spark, monkeypatch, capsys, failures, starts) -> None:
    # The race cannot be made to order: it is played as a cluster in a hurry showed it. What comes after is a real session.
    left = list(failures)
    tried = []

    def create(builder: SparkSession.Builder) -> SparkSession:
        tried.append(builder)
        if left:
            raise Py4JError(left.pop(0))
        return spark

    monkeypatch.setattr(SparkSession.Builder, "getOrCreate", create)
    conf = SparkConf(loadDefaults=False).set("spark.master", "local[1]").set("spark.eventLog.enabled", "false")
    if len(failures) < starts:
        assert session.start("race", conf) is spark
    else:
        with pytest.raises(DataError, match=r"Spark did not start on local\[1\]: .*"):
            session.start("race", conf)
    assert len(tried) == starts
    assert ("starting again" in capsys.readouterr().err) == (starts == 2)


def _count_slowly(spark: SparkSession, seconds: float) -> int:
    return spark.sparkContext.parallelize(range(1), 1).map(lambda _: time.sleep(seconds)).count()


def test_a_phase_beside_another_has_its_own_name(spark) -> None:
    groups = {}

    def note(name: str) -> str:
        groups[name] = spark.sparkContext.getLocalProperty("spark.job.description")
        return name

    turn = sys.getswitchinterval()
    with session.phase(spark, "all"):
        with session.beside(spark, "aside", lambda: note("beside")) as done, session.phase(spark, "ahead"):
            note("inside")
        note("after")
    assert done.result() == "beside"
    assert sys.getswitchinterval() == turn
    assert groups == {"beside": "aside", "inside": "ahead", "after": "all"}


def test_what_fails_beside_is_raised_when_the_rest_is_done(spark) -> None:
    done = []

    def fail() -> None:
        raise DataError("beside")

    with pytest.raises(DataError, match="beside"), session.beside(spark, "aside", fail):
        done.append(_count_slowly(spark, 0.2))
    assert done == [1]


def test_what_runs_beside_a_failure_is_cancelled(spark) -> None:
    ends: list[Exception] = []
    begun = threading.Event()

    def count() -> None:
        begun.set()
        try:
            _count_slowly(spark, 600)
        except Exception as error:
            ends.append(error)

    def fail_meanwhile() -> None:
        with session.beside(spark, "aside", count):
            assert begun.wait(60)
            while not spark.sparkContext.statusTracker().getJobIdsForGroup("aside"):
                time.sleep(0.05)
            raise DataError("inside")

    with pytest.raises(DataError, match="inside"):
        fail_meanwhile()
    assert "cancelled" in str(ends[0])


def test_a_column_takes_one_call_of_java(spark, monkeypatch: pytest.MonkeyPatch) -> None:
    column = F.col("id")
    client = spark.sparkContext._gateway._gateway_client
    calls: list[str] = []
    send = client.send_command
    monkeypatch.setattr(client, "send_command", lambda command, *how, **more: calls.append(command) or send(command, *how, **more))
    assert column.isNull() is not None
    # What is no longer used is given back by a thread of py4j's, whenever it likes.
    assert len([call for call in calls if not call.startswith("m\n")]) == 1


def test_modules_that_are_wanted_later_are_there_when_spark_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SparkSession.Builder, "getOrCreate", lambda builder: "started")
    monkeypatch.delitem(sys.modules, "this", raising=False)
    assert session.start("any", SparkConf(loadDefaults=False), meanwhile=["this"]) == "started"
    assert "this" in sys.modules
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        session.start("any", SparkConf(loadDefaults=False), meanwhile=["no_such_module"])
