"""The compare job: runs given, runs found, runs done by itself on a real cluster; refusals that leave earlier runs alone."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from pyspark.sql import SparkSession

from job_runs import COMPARE, put, tiny_dataset, without_java
from records import run_record, write_run
from slotwise import config, storage
from slotwise.contracts import run as runs
from slotwise.contracts.comparison import ComparisonRecord
from slotwise.errors import UsageError
from slotwise.localcluster.cluster import LocalCluster
from slotwise.pipelines import compare
from slotwise.settings.compare import CompareSettings

if TYPE_CHECKING:
    from conftest import History, SparkSubmit

pytestmark = pytest.mark.timeout(600)

FROZEN = {
    "model", "engine", "slots", "repeats", "accuracy_mean", "accuracy_std", "loss_mean", "seconds_mean", "images_per_second",
    "speedup", "efficiency", "accuracy_difference_points",
}  # fmt: skip


class Compared(NamedTuple):
    output: str
    content: dict[str, Any]
    said: str


@pytest.fixture(scope="module")
def compared(cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory, spark_submit: SparkSubmit) -> Iterator[Compared]:
    """compare does the runs itself, on 1 and 2 slots of the cluster, with all files on HDFS."""
    root = tmp_path_factory.mktemp("datasets") / "tiny"
    tiny_dataset(root)
    place = f"{cluster.hdfs}/tests/{uuid.uuid4().hex[:12]}"
    dataset, output = put(root, f"{place}/tiny"), f"{place}/comparison"
    done = spark_submit("--master", cluster.master, COMPARE, "--dataset", dataset, "--slots", "1,2", "--repeats", "1", "--epochs", "1", "--batch-size", "16", "--output", output)
    assert done.returncode == 0, done.stdout + done.stderr
    yield Compared(output, storage.read_json(f"{output}/comparison.json"), done.stdout)
    storage.delete(place)


@pytest.mark.cluster
def test_does_the_runs_itself(compared: Compared) -> None:
    assert storage.children(compared.output) == ["comparison.html", "comparison.json", "comparison.md", "runs"]
    ComparisonRecord.model_validate(compared.content)
    rows = compared.content["rows"]
    assert [(row["slots"], row["repeats"], row["model"]) for row in rows] == [(1, 1, "simple"), (2, 1, "simple")]
    assert all(set(row) >= FROZEN for row in rows)
    assert (rows[0]["speedup"], rows[0]["efficiency"], rows[0]["accuracy_difference_points"]) == (1, 1, 0)
    assert rows[1]["efficiency"] == pytest.approx(rows[1]["speedup"] / 2)
    assert f"report: {compared.output}/comparison.html" in compared.said
    assert storage.read_text(f"{compared.output}/comparison.md").rstrip() in compared.said
    assert "run 2 of 2: simple on 2 slots, seed 7" in compared.said


@pytest.mark.cluster
def test_one_and_two_slots_learn_the_same_in_float32(compared: Compared) -> None:
    one, two = (runs.load(f"{compared.output}/runs/tensorflow-{slots}slot-1") for slots in (1, 2))
    assert one.settings["precision"] == two.settings["precision"] == "float32"
    assert one.epochs[0].images == two.epochs[0].images == 97
    assert two.epochs[0].loss == pytest.approx(one.epochs[0].loss, rel=1e-2)


@pytest.mark.cluster
def test_history_server_lists_the_trainings_of_a_comparison(compared: Compared, history: History) -> None:
    application = history.application("slotwise compare simple on 1 and 2 slots")
    names = [stage["name"] for stage in history.stages(application["id"])]
    assert names == ["check executors", "train simple on 1 slot", "check executors", "train simple on 2 slots"]


@pytest.mark.cluster
def test_finished_runs_are_compared_without_spark(compared: Compared, tmp_path: Path) -> None:
    uris = [f"{compared.output}/runs/tensorflow-1slot-1", f"{compared.output}/runs/tensorflow-2slot-1"]
    done = without_java(COMPARE, "--runs", *uris, "--output", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out" / "comparison.json").read_text())["rows"] == compared.content["rows"]
    assert (tmp_path / "out" / "comparison.md").exists()
    assert (tmp_path / "out" / "comparison.html").exists()


def test_without_arguments_the_default_workspace_is_compared(tmp_path: Path, spark_submit: SparkSubmit) -> None:
    workspace = tmp_path / "workspace"
    for slots in (1, 2):
        write_run(str(workspace / "runs" / f"on-{slots}"), run_record(slots=slots))
    write_run(str(workspace / "runs" / "longer"), run_record(slots=2, settings={"batch_size": 4096}))
    done = spark_submit(COMPARE, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    content = json.loads((workspace / "comparison" / "comparison.json").read_text())
    assert [row["slots"] for row in content["rows"]] == [1, 2]
    assert content["command"] == "spark-submit jobs/compare.py"
    assert "left out: " in done.stdout
    assert "/runs/longer: batch_size 4096 instead of " in done.stdout
    again = without_java(COMPARE, cwd=tmp_path)
    assert again.returncode == 2
    assert "There is a comparison already" in again.stderr


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with runs `one` and `two`, `other` that is not comparable, `begun` that is not finished, and a dataset."""
    write_run(str(tmp_path / "one"), run_record(slots=1))
    write_run(str(tmp_path / "two"), run_record(slots=2))
    write_run(str(tmp_path / "other"), run_record(slots=2, model="covers", settings={"learning_rate": 0.5}))
    (tmp_path / "begun" / "checkpoints").mkdir(parents=True)
    write_run(str(tmp_path / "earlier" / "runs" / "tensorflow-1slot-1"), run_record(slots=1))
    tiny_dataset(tmp_path / "tiny")
    return tmp_path


REFUSALS = {
    "not comparable": ("--runs one two other", 2, ("/other has", "learning_rate 0.5", "/one", "Accepted: finished runs that share")),
    "not finished": ("--runs one begun", 1, ("/begun", "no run.json")),
    "not there": ("--runs one absent", 1, ("/absent", "no run.json")),
    "given twice": ("--runs one one", 2, ("more than once", "/one")),
    "nothing to find": ("", 2, ("workspace/runs", "--runs URI")),
    "runs and dataset": ("--runs one two --dataset tiny", 2, ("--runs and --dataset", "both")),
    "no slots": ("--dataset tiny --batch-size 16 --slots 1,0", 2, ("--slots", "[1, 0]", "whole numbers from 1")),
    "slots as a word": ("--dataset tiny --batch-size 16 --slots 1,two", 2, ("--slots", "two", "whole numbers from 1")),
    "too many slots": ("--dataset tiny --batch-size 16 --slots 1,5", 2, ("--slots 5", "1 to 4")),
    "unknown model": ("--dataset tiny --batch-size 16 --model nope --output earlier --overwrite", 2, ("--model nope", "covers, fashion, leaf, resnet18, simple, or package.module:function")),
    "earlier runs": ("--dataset tiny --batch-size 16 --output earlier", 2, ("runs of an earlier comparison", "/earlier/runs", "--overwrite", "another --output")),
}


@pytest.mark.parametrize(("arguments", "exit_code", "says"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refused_before_anything_is_done(arguments: str, exit_code: int, says: tuple[str, ...], place: Path) -> None:
    done = without_java(COMPARE, *arguments.split(), cwd=place)
    assert done.returncode == exit_code, done.stderr
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    for part in says:
        assert part in done.stderr
    assert not (place / "workspace" / "comparison").exists()
    assert (place / "earlier" / "runs" / "tensorflow-1slot-1" / "run.json").exists()


def test_asks_for_the_most_slots_before_the_first_run(place: Path, spark: SparkSession) -> None:
    settings = config.load(CompareSettings, ["--dataset", str(place / "tiny"), "--slots", "1,3", "--batch-size", "16", "--output", str(place / "new")])
    with pytest.raises(UsageError, match=r"The cluster has 2 slots of 1 core .*Received: --slots 3"):
        compare.run_all(compare.check(settings), spark)
    assert not (place / "new").exists()
