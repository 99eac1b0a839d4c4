"""Fixtures that several areas share: the real local cluster, spark-submit, places for files, and the real data."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from slotwise import storage
from slotwise.localcluster import hadoop
from slotwise.localcluster.cluster import LocalCluster
from slotwise.localcluster.processes import fetch_json
from slotwise.localcluster.spark import LIGHT
from slotwise.localcluster.state import DIRECTORY_VARIABLE

REPOSITORY = Path(__file__).resolve().parent.parent

# Short jobs on few cores, as the cluster's servers are: what Java would compile and collect better, and the classes that Spark would
# write for each query, take more time than they give back.
_LIGHT = {
    "spark.driver.extraJavaOptions": " ".join(LIGHT),
    "spark.executor.extraJavaOptions": " ".join(LIGHT),
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
}
LIGHT_JAVA = [word for name, value in _LIGHT.items() for word in ("--conf", f"{name}={value}")]

SparkSubmit = Callable[..., "subprocess.CompletedProcess[str]"]


# Of several processes none is to be left with the longest files when the others have finished.
_LONGEST_FIRST = (
    "test_readme", "test_tune", "test_yarn", "test_prepare_job", "test_survival", "test_studies", "test_train_job", "test_torch_engine",
    "test_invariance", "test_checkpoints", "test_export_model", "test_api", "test_predict", "test_compare_job", "test_train_refusals", "test_outage",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: place for place, name in enumerate(_LONGEST_FIRST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """HDFS, Spark master and two workers of one core, started for the first test that asks; a History Server with the first that asks for `history`.

    `SLOTWISE_CLUSTER` names its directory from then on, so that jobs the tests submit leave their event logs on its HDFS.
    """
    directory = tmp_path_factory.mktemp("cluster")
    with pytest.MonkeyPatch.context() as patch:
        started = LocalCluster(directory)
        try:
            hadoop.format_namenode(started.directory)
            for part in started.parts:
                if part != "history":  # it reads the log of every application
                    started.start_part(part)
            storage.make_directory(started.event_logs)
            patch.setenv(DIRECTORY_VARIABLE, str(started.directory))
            yield started
        finally:
            started.stop()


@pytest.fixture
def hdfs(cluster: LocalCluster) -> Iterator[str]:
    """URI of a directory on the cluster's HDFS that only this test uses."""
    uri = f"{cluster.hdfs}/tests/{uuid.uuid4().hex[:12]}"
    storage.make_directory(uri)
    yield uri
    storage.delete(uri)


@pytest.fixture(params=["local", pytest.param("hdfs", marks=pytest.mark.cluster)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URI of an empty directory, once on this machine's file system and once on HDFS."""
    return request.getfixturevalue("hdfs") if request.param == "hdfs" else tmp_path.as_uri()


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """An empty local directory for datasets, runs and comparisons."""
    directory = tmp_path / "workspace"
    directory.mkdir()
    return directory


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real data beside the repository."""
    directory = REPOSITORY.parent / "shared" / "data"
    if not directory.is_dir():
        pytest.skip(f"the real data is not here: no {directory}")
    return directory


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A session on two threads of this process, for tests of stages that need no cluster."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = (
        SparkSession.builder.config(map=_LIGHT)
        .master("local[2]")
        .appName("slotwise tests")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.eventLog.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.warehouse.dir", str(tmp_path_factory.mktemp("warehouse")))
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


@pytest.fixture(scope="session")
def spark_submit() -> SparkSubmit:
    """Runs this environment's spark-submit from the repository's root, as a person would who has not activated it.

    Returns a function of the arguments, `timeout` in seconds, `cwd` and `environment` (added variables). The result has
    `returncode`, `stdout`, `stderr`. A run past its time is ended with all it started and fails the test with its output.
    """
    return _submit


def _submit(*arguments: str, timeout: float = 300, cwd: Path = REPOSITORY, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "spark-submit"
    command = [str(program), *LIGHT_JAVA, *arguments]
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("SPARK_", "PYSPARK_"))}
    with subprocess.Popen(
        command,
        cwd=cwd,
        env={**inherited, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            if isinstance(error, subprocess.TimeoutExpired):
                pytest.fail(f"{' '.join(command)} took longer than {timeout} s\n{out[-4000:]}\n{err[-4000:]}")
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


class History:
    """The History Server's REST interface."""

    def __init__(self, address: str) -> None:
        self.api = f"{address}/api/v1/applications"

    def applications(self) -> list[dict[str, Any]]:
        return fetch_json(self.api)

    def application(self, name: str, seconds: float = 60) -> dict[str, Any]:
        """The finished application of this name that started last; waits until the server has read its log."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = [each for each in self.applications() if each["name"] == name and each["attempts"][-1]["completed"]]
            if found:
                return max(found, key=lambda each: each["attempts"][-1]["startTimeEpoch"])
            time.sleep(0.5)
        pytest.fail(f"the History Server lists no finished application {name!r}: {[each['name'] for each in self.applications()]}")

    def stages(self, application: str) -> list[dict[str, Any]]:
        """The completed stages of an application, by its id, in order."""
        stages = fetch_json(f"{self.api}/{application}/stages?status=complete")
        return sorted(stages, key=lambda stage: stage["stageId"])

    def jobs(self, application: str) -> list[dict[str, Any]]:
        return sorted(fetch_json(f"{self.api}/{application}/jobs"), key=lambda job: job["jobId"])


@pytest.fixture(scope="session")
def history(cluster: LocalCluster) -> History:
    cluster.start_part("history")
    return History(cluster.state.history)
