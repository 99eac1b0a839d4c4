"""The README's commands, run as they stand there; its links and its targets."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from benchmarks import results
from pyspark.sql import SparkSession

from conftest import History, SparkSubmit
from datasets import write_folder
from job_runs import SETTINGS
from prepared import check_faults, check_sums, leftovers, rows_of, samples_in
from slotwise import config, storage
from slotwise.contracts import dataset as datasets
from slotwise.contracts import run as runs
from slotwise.contracts.catalogue import SPLITS
from slotwise.localcluster.cluster import LocalCluster
from slotwise.pipelines import compare, prepare, train

_SUBMIT = "spark-submit "
_RUN: dict[str, Callable[[Any, SparkSession], object]] = {
    "prepare": prepare.run,
    "train_distributed": train.run,
    "compare": lambda settings, _: compare.finish(settings, ["a", "test"]),
}


@pytest.fixture(scope="module")
def readme(repository: Path) -> str:
    return (repository / "README.md").read_text()


@pytest.fixture
def checkout(repository: Path, tmp_path: Path) -> Path:
    """A directory that looks like the repository's root, with a workspace of its own."""
    for name in ("jobs", "conf", "lib"):
        (tmp_path / name).symlink_to(repository / name)
    return tmp_path


def _commands(readme: str, title: str) -> list[list[str]]:
    """Arguments of the spark-submit lines in the first code block after a bold title."""
    block = re.search(r"```bash\n(.*?)```", readme[readme.index(f"**{title}") :], re.DOTALL)
    assert block is not None
    lines = [line.partition("#")[0].strip() for line in block[1].splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith(_SUBMIT)]


def test_the_laptop_lines_end_in_a_comparison(readme: str, checkout: Path, spark_submit: SparkSubmit) -> None:
    for arguments in _commands(readme, "On a laptop"):
        done = spark_submit(*arguments, cwd=checkout)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        assert "prepare" not in arguments[0] or " WARN " not in done.stderr
    (audit,) = re.findall(r"^\.venv/bin/python (jobs/audit.*)$", readme, re.MULTILINE)
    audited = subprocess.run([sys.executable, *shlex.split(audit)], cwd=checkout, capture_output=True, text=True, timeout=120, check=False)
    assert audited.stdout.endswith("each of 720 ids exactly once in each of 8 epochs\n"), audited.stdout + audited.stderr
    workspace = checkout / "workspace"
    record = datasets.load((workspace / "datasets" / "demo").as_uri())
    (run,) = (workspace / "runs").iterdir()
    trained = runs.load(run.as_uri())
    assert trained.slots == 2
    assert trained.test_accuracy > 5 / len(record.classes)
    assert (workspace / "comparison" / "comparison.html").exists()


@pytest.mark.cluster
def test_the_measured_lines_work_on_a_part_of_cifar10(readme: str, tmp_path: Path, hdfs: str, shared_data: Path, spark: SparkSession) -> None:
    """In the tests' own session: that spark-submit takes such lines is seen above and below."""
    for split, file in (("train", "train-00000-of-00005.parquet"), ("test", "test-00000-of-00001.parquet")):
        part = tmp_path / f"{split}.parquet"
        table = pq.read_table(shared_data / "cifar10" / file).slice(0, 150)
        pq.write_table(table, part)
        storage.upload(str(part), f"{hdfs}/input/cifar10/{split}.parquet")
    jobs = []
    for words in _commands(readme, "All 60,000 images of CIFAR-10 on `make cluster`"):
        program = next(index for index, word in enumerate(words) if word.startswith("jobs/"))
        jobs.append(Path(words[program]).stem)
        shorter = ["--epochs", "1"] if jobs[-1] == "train_distributed" else []
        settings = config.load(SETTINGS[jobs[-1]], [word.replace("$H", hdfs) for word in words[program + 1 :]] + shorter)
        _RUN[jobs[-1]](settings, spark)
    assert jobs == ["prepare", "train_distributed", "train_distributed", "compare"]
    dataset = f"{hdfs}/datasets/cifar10"
    record = datasets.load(dataset)
    check_sums(record, dataset, rows_of(dataset, tmp_path))
    assert record.accounting.rows == record.accounting.used + record.accounting.set_aside.get("identical-image", 0) == 300
    assert samples_in(dataset, record, "test", tmp_path) == {row["image"]: row["label_name"] for row in table.to_pylist()}
    comparison = storage.read_json(f"{hdfs}/comparison-cifar10/comparison.json")
    assert [row["slots"] for row in comparison["rows"]] == [1, 2]


@pytest.mark.cluster
def test_a_folder_and_a_model_of_ones_own_train_on_two_slots(readme: str, checkout: Path, cluster: LocalCluster, spark_submit: SparkSubmit) -> None:
    """As a new user would: the README's file beside the photos, on a cluster whose executors know nothing of it."""
    source = re.search(r"```python\n(import keras\nfrom keras import layers\n.*?)```", readme, re.DOTALL)
    assert source is not None
    (checkout / "my_models.py").write_text(source[1])
    write_folder(checkout / "photos", classes=3, per_class=20)
    for arguments in _commands(readme, "A folder and a model of your own"):
        done = spark_submit("--master", cluster.master, *arguments, cwd=checkout)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    trained = runs.load((checkout / "workspace" / "runs" / "photos-my_models.small-2slot-1").as_uri())
    assert (trained.slots, trained.model, len(trained.class_names)) == (2, "my_models:small", 3)
    assert {slot.executor for slot in trained.placement} == {"0", "1"}


@pytest.mark.cluster
def test_the_cluster_lines_work_on_hdfs(readme: str, checkout: Path, cluster: LocalCluster, spark_submit: SparkSubmit, history: History) -> None:
    commands = _commands(readme, "On standalone Spark and HDFS.")
    assert len(commands) == 3
    for arguments in commands:
        local = [text.replace("spark://127.0.0.1:7077", cluster.master).replace("hdfs://127.0.0.1:9000", cluster.hdfs) for text in arguments]
        if "jobs/train_distributed.py" in local:
            local += ["--epochs", "1"]
        if "jobs/prepare.py" in local:  # the whole demo is in the other test
            local += ["--classes", "4", "--per-class", "25"]
        done = spark_submit(*local, cwd=checkout)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        if "jobs/prepare.py" in local:
            check_demo(f"{cluster.hdfs}/datasets", done, checkout)
    record = runs.load(f"{cluster.hdfs}/runs/demo")
    assert len({slot.executor for slot in record.placement}) == 2
    assert storage.exists(f"{cluster.hdfs}/comparison/comparison.json")
    stages = {stage["name"] for stage in history.stages(history.application("slotwise prepare demo")["id"])}
    assert {"read catalogue", "choose candidates", "download images", "explore images", "balance classes", "write tfrecord shards"} <= stages
    assert not [name for name in stages if re.search(r":\d+$", name)], "a stage is named after a line of code"
    jobs = history.jobs(history.application("slotwise train covers on 2 slots")["id"])
    assert [(job["description"], job["numTasks"]) for job in jobs if job["numTasks"]] == [("check executors", 4), ("train covers on 2 slots", 2)]
    told = [job["description"] for job in jobs if not job["numTasks"]]
    for slot, line in zip(record.placement, told, strict=False):
        assert line == f"slot {slot.slot}: executor {slot.executor} on {slot.host}, 1 core, logical shards {', '.join(map(str, slot.logical_shards))}"
    assert [line.partition(":")[0] for line in told] == ["slot 0", "slot 1", "epoch 1", "test"]
    assert f"{record.epochs[0].images_per_second:,.0f} images/s" in told[2]
    assert told[3].endswith("on 20 images, weights of epoch 1")


def check_demo(parent: str, done: subprocess.CompletedProcess[str], scratch: Path) -> None:
    """The demo of 4 classes and 25 images each, below a directory on HDFS, is whole, and says so."""
    assert " WARN " not in done.stderr
    dataset = f"{parent}/demo"
    record, rows = datasets.load(dataset), rows_of(dataset, scratch)
    check_sums(record, dataset, rows)
    assert {name for name in storage.children(dataset) if not name.startswith("_")} == {"dataset.json", "explore", "rows", *SPLITS}
    assert "report.html" in storage.children(f"{dataset}/explore")
    assert storage.read_json(f"{dataset}/explore/explore.json")
    assert leftovers(parent) == []
    assert record.classes == ["Fiction", "History", "Juvenile Fiction", "Religion"]
    assert [record.splits[split].class_counts for split in SPLITS] == [[15] * 4, [5] * 4, [5] * 4]
    assert f"{len(rows):,} rows = {record.accounting.used:,} used + {record.accounting.spare:,} spare" in done.stdout
    check_faults(rows, storage.read_bytes(f"{parent}/.demo/books-4-25-7.csv.gz"))


def test_every_job_line_is_accepted(readme: str) -> None:
    lines = re.findall(r"^spark-submit (.*?)(?:#.*)?$", readme, re.MULTILINE)
    assert len(lines) > 10
    for line in lines:
        words = shlex.split(line.replace("$H", "hdfs://127.0.0.1:9000"))
        job = next(word for word in words if word.startswith("jobs/"))
        config.load(SETTINGS[Path(job).stem], words[words.index(job) + 1 :])


def test_every_link_leads_somewhere(readme: str, repository: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", readme) if "://" not in link]
    assert links
    missing = [link for link in links if not (repository / link).exists()]
    assert not missing


def test_the_table_of_ratios_is_the_output_of_make_bench(readme: str, repository: Path) -> None:
    assert results.within(readme, (repository / "docs" / "results" / "bench.md").read_text()) == readme


def test_every_make_target_exists(readme: str, repository: Path) -> None:
    makefile = (repository / "Makefile").read_text()
    for target in set(re.findall(r"(?:^|`)make ([a-z-]+)", readme, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
