"""Starting Spark: a race inside Spark is survived, anything else is said at once."""

from __future__ import annotations

import pytest
from py4j.protocol import Py4JError
from pyspark import SparkConf
from pyspark.sql import SparkSession

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
