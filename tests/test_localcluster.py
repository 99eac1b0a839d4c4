"""The local cluster: real servers that start, answer, survive the loss of a part, and leave nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import History
from slotwise import storage
from slotwise.localcluster import __main__
from slotwise.localcluster.cluster import LocalCluster
from slotwise.localcluster.processes import fetch_json
from slotwise.localcluster.spark import archived_classes
from slotwise.localcluster.state import ClusterState, running_cluster

pytestmark = pytest.mark.cluster

APPLICATION = """
import sys
from slotwise import session

spark = session.start(sys.argv[1], session.effective_conf())
numbers = spark.sparkContext.parallelize(range(4), 2)
with session.phase(spark, "count drawn numbers"):
    print("sum", numbers.map(lambda number: number + 1).collect())
with session.phase(spark, "train on 2 slots"):
    print("barrier", numbers.barrier().mapPartitions(lambda part: [sum(part)]).collect())
    with session.phase(spark, "write a table"):
        frame = spark.range(100).repartition(4).mapInPandas(lambda batches: batches, "id long")
        frame.write.parquet(sys.argv[2])
    print("rows", spark.read.parquet(sys.argv[2]).count())
print("python", spark.sparkContext.parallelize([0]).map(lambda _: sys.executable).first())
spark.stop()
"""

# Prints whether the driver's and the executors' Java have the archive of classes in their memory: Java lets go of one that does not fit.
ARCHIVE = """
import os
from pathlib import Path
from slotwise import session

def has_archive(_=None):
    process = os.getpid()
    while True:
        process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
        mapped = Path(f"/proc/{process}/maps").read_text()
        if "libjvm.so" in mapped:
            return ".java-classes.jsa" in mapped

spark = session.start("archive", session.effective_conf())
print("driver", has_archive(), "executors", spark.sparkContext.parallelize(range(2), 2).map(has_archive).collect())
spark.stop()
"""


def processes_of(directory: Path) -> list[str]:
    listed = subprocess.run(["ps", "-ww", "-eo", "args="], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in listed if f"slotwise.cluster={directory}" in line or f"{directory}/work" in line]


def command(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", "slotwise.localcluster", *arguments], capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_server_answers_on_loopback(cluster: LocalCluster, history: History) -> None:
    state = cluster.state
    assert set(state.pids) == {"namenode", "datanode", "master", "worker-1", "worker-2", "history"}
    master = fetch_json(f"{state.master_ui}/json/")
    # The master lists a worker that another test has stopped as DEAD for a quarter of an hour.
    assert [(worker["cores"], worker["host"]) for worker in master["workers"] if worker["state"] == "ALIVE"] == [(1, "127.0.0.1")] * 2
    assert fetch_json(f"{state.namenode_ui}/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState")["beans"][0]["NumLiveDataNodes"] == 1
    assert running_cluster() == state


def test_an_application_shows_with_readable_stage_names(cluster, hdfs, history, spark_submit, tmp_path: Path) -> None:
    script = tmp_path / "application.py"
    script.write_text(APPLICATION)
    name = f"named stages {tmp_path.name}"
    done = spark_submit("--master", cluster.state.master, str(script), name, f"{hdfs}/table")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "sum [1, 2, 3, 4]" in done.stdout
    assert "rows 100" in done.stdout
    # Neither activated nor told: conf/spark-env.sh finds the environment's Python for the executors.
    python = next(line.split(" ", 1)[1] for line in done.stdout.splitlines() if line.startswith("python "))
    assert os.path.realpath(python) == os.path.realpath(sys.executable)

    application = history.application(name)
    stages = history.stages(application["id"])
    titles = list(dict.fromkeys(stage["name"] for stage in stages))
    assert titles[:3] == ["count drawn numbers", "train on 2 slots", "write a table"]
    assert "train on 2 slots" in [stage["name"] for stage in stages if stage["stageId"] > 2], "the outer phase's name comes back"
    assert all(stage["description"] == stage["name"] for stage in stages if stage["name"] in titles[:3])
    assert {"count drawn numbers", "train on 2 slots", "write a table"} <= {job["jobGroup"] for job in history.jobs(application["id"]) if "jobGroup" in job}
    assert any(child.endswith(application["id"]) for child in storage.children(cluster.event_logs))


@pytest.mark.skipif(not archived_classes(), reason="this Java leaves no archive of classes, or make setup has not run")
@pytest.mark.parametrize("on_cluster", [False, True], ids=["local", "cluster"])
def test_java_takes_its_classes_from_the_archive(cluster: LocalCluster, tmp_path: Path, on_cluster: bool) -> None:
    (tmp_path / "application.py").write_text(ARCHIVE)
    submit = Path(sys.executable).parent / "spark-submit"
    master = cluster.state.master if on_cluster else "local[2]"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SPARK_")}
    done = subprocess.run([submit, "--master", master, tmp_path / "application.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert "driver True executors [True, True]" in done.stdout, done.stdout + done.stderr
    servers = [cluster.state.pids[name] for name in ("master", "worker-1", "worker-2")]
    assert all(".java-classes.jsa" in Path(f"/proc/{server}/maps").read_text() for server in servers)


def test_hdfs_keeps_its_files_over_a_restart_of_the_namenode(cluster: LocalCluster, hdfs: str) -> None:
    storage.write_text(f"{hdfs}/file", "kept")
    before = cluster.state.pids["namenode"]
    cluster.stop_part("namenode")
    assert running_cluster() is None
    cluster.start_part("namenode")
    assert cluster.state.pids["namenode"] != before
    assert running_cluster() == cluster.state
    assert storage.read_text(f"{hdfs}/file") == "kept"


def test_a_killed_worker_can_be_brought_back(cluster: LocalCluster) -> None:
    cluster.kill_part("worker-1")
    assert "worker-1" not in cluster.state.pids
    cluster.start_part("worker-1")
    deadline = time.monotonic() + 60
    while fetch_json(f"{cluster.state.master_ui}/json/")["aliveworkers"] < 2:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_commands_start_show_and_stop_a_cluster(tmp_path: Path) -> None:
    options = ("--directory", str(tmp_path), "--free-ports", "--workers", "1")
    assert command("status", *options[:2]) == f"No cluster runs from {tmp_path}.\n"
    try:
        started = command("start", *options)
        state = json.loads((tmp_path / "cluster.json").read_text())
        for job in ("prepare", "train_distributed", "compare"):
            assert f"spark-submit --master {state['master']} jobs/{job}.py" in started
        assert f"--dataset {state['hdfs']}/" in started
        assert "--slots 2" in started
        assert state["history"] in command("status", *options[:2])
        assert "runs already" in command("start", *options)
        refused = subprocess.run([sys.executable, "-m", "slotwise.localcluster", "start", "--yarn", *options], capture_output=True, text=True, check=False, timeout=60)
        assert (refused.returncode, "runs already, without YARN" in refused.stderr) == (2, True)
        storage.write_text(f"{state['hdfs']}/file", "written")
        assert processes_of(tmp_path)
    finally:
        stopped = command("stop", *options[:2])
    assert stopped.split("\n")[0] == "stopped history"
    assert processes_of(tmp_path) == []
    assert not (tmp_path / "cluster.json").exists()
    assert command("stop", *options[:2]) == ""


def test_lines_for_yarn_name_its_configuration() -> None:
    addresses = {name: f"http://127.0.0.1:{name}" for name in ("history", "master_ui", "namenode_ui")}
    state = ClusterState(master="spark://m:1", hdfs="hdfs://h:2", event_logs="hdfs://h:2/e", pids={}, yarn_ui="http://y:3", hadoop_conf="/a b/conf", **addresses)
    lines = __main__._submit_lines(state).splitlines()
    assert lines[4] == "export HADOOP_CONF_DIR='/a b/conf'"
    assert [line.split("jobs/")[1].split(".py")[0] for line in lines[5:]] == ["prepare", "train_distributed", "compare"]
    assert all(" --master yarn --num-executors 2 " in line for line in lines[5:])
    assert lines[6].split()[-1] != lines[1].split()[-1], "another run than on standalone Spark"


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [("--workers", "0", "A cluster needs workers with cores. Received: 0 and 1."), ("--memory", "lots", "--memory is wrong. Received: lots.")],
)
def test_bad_options_are_refused_before_anything_starts(tmp_path: Path, option: str, value: str, message: str) -> None:
    arguments = [sys.executable, "-m", "slotwise.localcluster", "start", "--directory", str(tmp_path), option, value]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert os.listdir(tmp_path) == []
