"""Spark's standalone master and workers and its History Server, from the Spark inside the pyspark package."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from slotwise.errors import DataError
from slotwise.localcluster.processes import HOST, Daemon, fetch_json

# Small servers that live for a session: up soon, with little memory and few compiler threads beside those that work.
LIGHT = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


def home() -> Path:
    """The directory of pyspark, which is what Spark calls SPARK_HOME."""
    spec = find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise DataError("pyspark is not installed for this Python; run make setup")
    return Path(spec.origin).parent


def configuration() -> Path:
    """Spark's configuration directory; `conf/link-spark.sh` puts the project's `conf/` there."""
    return Path(os.environ.get("SPARK_CONF_DIR") or home() / "conf")


def archived_classes() -> dict[str, str]:
    """Settings by which executors on this machine take their classes from the archive of `conf/archive-classes.sh`; none where there is no archive."""
    options = Path(sys.prefix) / ".java-classes.options"
    if not options.exists() or not options.stat().st_size:
        return {}
    return {
        # Before Spark's own class path, which begins with its configuration: no archive holds what comes after a directory with files.
        "spark.executor.extraClassPath": f"{home()}/jars/*",
        "spark.executor.defaultJavaOptions": f"'@{options}'",  # Spark puts them before a user's own options
    }


def java() -> str:
    """The `java` that Spark itself would take.

    Raises:
        DataError: there is none.
    """
    java_home = os.environ.get("JAVA_HOME")
    found = f"{java_home}/bin/java" if java_home else shutil.which("java")
    if not found or not Path(found).exists():
        raise DataError("There is no Java: install version 17 or 21 and put it on the PATH or set JAVA_HOME")
    return found


def mark(directory: Path) -> str:
    """A Java option by which a cluster's processes can be told from others."""
    return f"-Dslotwise.cluster={directory}"


def master(directory: Path, port: int, ui_port: int, tied: bool) -> Daemon:
    arguments = ["--host", HOST, "--port", str(port), "--webui-port", str(ui_port)]
    return _daemon("master", "org.apache.spark.deploy.master.Master", arguments, directory, tied)


def worker(name: str, directory: Path, master_uri: str, cores: int, memory: str, tied: bool) -> Daemon:
    arguments = ["--host", HOST, "--webui-port", "0", "--cores", str(cores), "--memory", memory]
    arguments += ["--work-dir", str(directory / "work" / name), master_uri]
    return _daemon(name, "org.apache.spark.deploy.worker.Worker", arguments, directory, tied)


def history_server(directory: Path, event_logs: str, port: int, tied: bool) -> Daemon:
    options = [f"-Dspark.history.fs.logDirectory={event_logs}", f"-Dspark.history.ui.port={port}", "-Dspark.history.fs.update.interval=2s"]
    return _daemon("history", "org.apache.spark.deploy.history.HistoryServer", [], directory, tied, options)


def _daemon(name: str, main: str, arguments: list[str], directory: Path, tied: bool, options: list[str] | None = None) -> Daemon:
    java_options = [
        mark(directory),
        *LIGHT,
        "-Dslotwise.log.level=info",
        # A taken port is an error here: nobody would look for the master on the next one.
        "-Dspark.port.maxRetries=0",
        *(options or []),
    ]
    environment = {
        "SPARK_HOME": str(home()),
        "SPARK_LOCAL_IP": HOST,  # web pages too listen on loopback only; executors inherit it from their worker
        "SPARK_DAEMON_MEMORY": "512m",
        "SPARK_DAEMON_JAVA_OPTS": " ".join(java_options),
    }
    return Daemon(name, [f"{home()}/bin/spark-class", main, *arguments], directory / "logs" / f"{name}.log", environment, tied)


def alive_workers(ui_port: int) -> int:
    """How many workers the master counts as alive."""
    return int(fetch_json(f"http://{HOST}:{ui_port}/json/")["aliveworkers"])


def history_answers(port: int) -> bool:
    return isinstance(fetch_json(f"http://{HOST}:{port}/api/v1/applications"), list)
