"""Leaves Spark's own classes in an archive that the tests' many Java processes map instead of reading and checking each class anew.

    python tests/java_classes.py

Java's class data sharing: https://docs.oracle.com/en/java/javase/17/vm/class-data-sharing.html
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from slotwise.localcluster.spark import LIGHT, home

ARCHIVE = Path(sys.prefix) / ".java-classes.jsa"

# Before Spark's own class path, which begins with its configuration: no archive holds what comes after a directory with files.
CLASS_PATH = f"{home()}/jars/*"


_QUIET = ("-Xlog:cds=off", "-Xlog:cds+dynamic=off")


def options() -> tuple[str, ...]:
    """Java's options that use the archive; none where `make test` has not made it."""
    return (f"-XX:SharedArchiveFile={ARCHIVE}", *_QUIET) if ARCHIVE.exists() else ()


def make() -> None:
    """Runs what most tests do in Spark, and has Java write the classes that it loaded for it."""
    with tempfile.TemporaryDirectory(dir=ARCHIVE.parent) as scratch:
        made = Path(scratch) / ARCHIVE.name
        command = [
            str(Path(sys.executable).parent / "spark-submit"),
            *("--master", "local[2]", "--conf", f"spark.eventLog.dir={Path(scratch).as_uri()}"),
            *("--conf", "spark.sql.codegen.wholeStage=false", "--conf", "spark.sql.codegen.factoryMode=NO_CODEGEN"),
            *("--conf", f"spark.driver.extraClassPath={CLASS_PATH}"),
            *("--conf", f"spark.driver.extraJavaOptions={' '.join((*LIGHT, *_QUIET))} -XX:ArchiveClassesAtExit={made}"),
            *(__file__, "--work", scratch),
        ]
        done = subprocess.run(command, env={**os.environ, "SLOTWISE_CLUSTER": ""}, capture_output=True, text=True)
        if not made.exists():
            sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
        made.rename(ARCHIVE)


def _work(directory: str) -> None:
    import pandas as pd
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.appName("classes").getOrCreate()
    rows = spark.createDataFrame(pd.DataFrame({"name": [str(number) for number in range(100)], "number": range(100)}))
    rows.write.csv(f"{directory}/csv", header=True)
    spark.read.csv(f"{directory}/csv", header=True, schema="name string, number int").groupBy("number").count().orderBy("number").collect()
    rows.repartition(2).write.parquet(f"{directory}/parquet")
    read = spark.read.parquet(f"{directory}/parquet")
    read.join(read.groupBy("name").count(), "name").mapInPandas(lambda frames: frames, "name string, number long, count long").toPandas()
    spark.sparkContext.parallelize([1, 2], 2).barrier().mapPartitions(list).collect()
    spark.stop()


if __name__ == "__main__":
    _work(sys.argv[2]) if sys.argv[1:] else make()
