"""Bad calls and bad data for train_distributed: each ends non-zero and explained, most of them before Spark starts."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from pyspark import SparkConf
from pyspark.sql import SparkSession

from job_runs import SHARDS, TRAIN, edit_record, flip_a_bit, make_undecodable, tiny_dataset, without_java
from slotwise.cluster import preflight
from slotwise.errors import SlotwiseError, UsageError
from slotwise.localcluster.cluster import LocalCluster
from slotwise.pipelines import train
from slotwise.settings.train import TrainSettings

if TYPE_CHECKING:
    from conftest import SparkSubmit

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("datasets") / "tiny"
    tiny_dataset(root)
    return root


@pytest.fixture(scope="module")
def bench(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with good and bad datasets and runs, that the calls below name."""
    root = tmp_path_factory.mktemp("bench")
    for name in ("good", "half", "version", "garbled", "missing-shard", "short-shard"):
        shutil.copytree(tiny, root / name)
    (root / "half" / "dataset.json").unlink()
    edit_record(root / "version", lambda record: record.update(version=99))
    (root / "garbled" / "dataset.json").write_text("{")
    (root / "missing-shard" / "test" / "shard-00002.tfrecord").unlink()
    (root / "short-shard" / "train" / "shard-00003.tfrecord").write_bytes(b"cut")
    (root / "finished").mkdir()
    (root / "finished" / "run.json").write_text("{}")
    (root / "unfinished" / "checkpoints").mkdir(parents=True)
    return root


class Call(NamedTuple):
    arguments: str
    exit_code: int
    says: tuple[str, ...]


GOOD = "--dataset good --run new --batch-size 16"
CALLS = {
    "no slots": Call(f"{GOOD} --slots 0", 2, ("--slots", "Received: '0'", "a whole number from 1")),
    "slots as a word": Call(f"{GOOD} --slots two", 2, ("--slots", "Received: 'two'", "a whole number from 1")),
    "more slots than logical shards": Call(f"{GOOD} --slots 5", 2, ("--slots 5", f"1 to {SHARDS}")),
    "unknown model": Call(f"{GOOD} --model resnet99", 2, ("--model resnet99", "covers, fashion, leaf, resnet18, simple, or package.module:function")),
    "unknown flag": Call(f"{GOOD} --epoch 3", 2, ("--epoch 3", "--help")),
    "unknown engine": Call(f"{GOOD} --engine jax", 2, ("--engine", "'jax'", "Accepted: tensorflow")),
    "16-bit gradients in torch": Call(f"{GOOD} --engine torch --precision mixed_float16", 2, ("--precision mixed_float16 --engine torch", "mixed_bfloat16")),
    "unknown precision": Call(f"{GOOD} --precision float8", 2, ("--precision", "'float8'", "float64")),
    "unknown augmentation": Call(f"{GOOD} --augment flip,spin", 2, ("--augment", "spin", "rotate")),
    "batch that cannot be shared": Call("--dataset good --run new --batch-size 18", 2, ("--batch-size 18", "16 or 20")),
    "batch smaller than the shards": Call("--dataset good --run new --batch-size 3", 2, ("--batch-size 3", "4 or 8")),
    "learning rate of zero": Call(f"{GOOD} --learning-rate 0", 2, ("--learning-rate", "Received: '0'", "a number above 0")),
    "unknown storage": Call("--dataset nfs9://x/y --run new", 2, ("--dataset", "nfs9://x/y", "hdfs://")),
    "nothing prepared": Call("--run new", 2, ("nothing under workspace/datasets", "jobs/prepare.py")),
    "missing dataset": Call("--dataset absent --run new", 1, ("/absent", "spark-submit jobs/prepare.py --dataset")),
    "half-written dataset": Call("--dataset half --run new", 1, ("/half", "no dataset.json", "--overwrite")),
    "dataset of another version": Call("--dataset version --run new", 1, ("/version", "version 99", "reads version 1")),
    "garbled dataset.json": Call("--dataset garbled --run new", 1, ("garbled/dataset.json", "not JSON")),
    "missing shard": Call("--dataset missing-shard --run new --batch-size 16", 1, ("test/shard-00002.tfrecord", "missing", "--overwrite")),
    "shard of another size": Call("--dataset short-shard --run new --batch-size 16", 1, ("train/shard-00003.tfrecord", "3 bytes")),
    "finished run": Call("--dataset good --run finished --batch-size 16", 2, ("a finished run", "/finished", "--resume", "--overwrite")),
    "unfinished run": Call("--dataset good --run unfinished --batch-size 16", 2, ("an unfinished run", "/unfinished", "--resume", "--overwrite")),
    "dataset in the place of the run": Call("--dataset good --run good --batch-size 16 --overwrite", 2, ("something else than a run", "/good", "another --run")),
    "nothing to resume": Call("--dataset good --run finished --batch-size 16 --resume", 2, ("no checkpoint", "/finished", "at least one epoch")),
    "resume without a run": Call("--dataset good --batch-size 16 --resume", 2, ("--resume needs --run", "the URI of an earlier run")),
    "resume and overwrite": Call("--dataset good --run finished --resume --overwrite", 2, ("--resume and --overwrite", "one of them")),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_refused_before_spark_starts(call: Call, bench: Path) -> None:
    done = without_java(TRAIN, *call.arguments.split(), cwd=bench)
    assert done.returncode == call.exit_code, done.stderr
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    for part in call.says:
        assert part in done.stderr
    if call.exit_code == 2:
        assert "Received: " in done.stderr
        assert "Accepted: " in done.stderr
    assert done.stdout == ""
    assert not (bench / "new").exists()
    assert (bench / "good" / "dataset.json").exists()


def test_a_good_call_would_have_started_spark(bench: Path) -> None:
    """The twin of the test above: without Java, what passes the checks cannot end in good order."""
    done = without_java(TRAIN, *GOOD.split(), cwd=bench)
    assert done.returncode not in (0, 2)
    assert "error: The" not in done.stderr


def test_more_slots_than_a_local_master_has(tiny: Path, tmp_path: Path, spark: SparkSession) -> None:
    with pytest.raises(UsageError) as refused:
        train.run(TrainSettings(dataset=str(tiny), run=str(tmp_path / "new"), slots=3, batch_size=16), spark)
    assert "The cluster has 2 slots of 1 core (driver with 2 cores). Received: --slots 3." in str(refused.value)
    assert "--slots up to 2, or spark-submit --master 'local[3]'" in str(refused.value)
    assert not (tmp_path / "new").exists()


@pytest.mark.cluster
def test_more_slots_than_a_cluster_has(cluster: LocalCluster, tiny: Path, tmp_path: Path, spark_submit: SparkSubmit) -> None:
    done = spark_submit("--master", cluster.master, TRAIN, "--dataset", str(tiny), "--run", "new", "--slots", "3", "--batch-size", "16", cwd=tmp_path)
    assert done.returncode == 2
    assert "The cluster has 2 slots of 1 core" in done.stdout
    for setting in ("--slots up to 2", "spark.cores.max", "spark.executor.instances"):
        assert setting in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


SPARK_SETTINGS = {
    "dynamic allocation": ("spark.dynamicAllocation.enabled=TRUE", "spark.dynamicAllocation.enabled=false"),
    "encryption": ("spark.authenticate=true", "--unencrypted-gradients"),
    "another task size": ("spark.task.cpus=2", "the same number in both"),
}


@pytest.mark.parametrize(("setting", "accepted"), SPARK_SETTINGS.values(), ids=SPARK_SETTINGS.keys())
def test_spark_settings_that_cannot_work(setting: str, accepted: str) -> None:
    name, _, value = setting.partition("=")
    with pytest.raises(UsageError) as refused:
        preflight.check_conf(SparkConf(loadDefaults=False).set(name, value), TrainSettings(slots=2))
    assert f"Received: {name}=" in str(refused.value)
    assert accepted in str(refused.value)


def test_spark_settings_are_refused_before_spark_starts(tiny: Path, tmp_path: Path, spark_submit: SparkSubmit) -> None:
    done = spark_submit("--master", "local[2]", "--conf", "spark.task.cpus=2", TRAIN, "--dataset", str(tiny), "--run", "new", "--batch-size", "16", "--slots", "2", cwd=tmp_path)
    assert done.returncode == 2
    assert "Received: spark.task.cpus=" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert not (tmp_path / "workspace").exists(), "Spark has left an event log, so it was started"


@pytest.mark.parametrize("protection", ["spark.authenticate", "spark.network.crypto.enabled", "spark.ssl.enabled"])
def test_gradients_are_sent_unencrypted_only_where_that_is_accepted(protection: str) -> None:
    conf = SparkConf(loadDefaults=False).set(protection, "TRUE")
    with pytest.raises(UsageError, match=f"{protection}=true and 2 slots"):
        preflight.check_conf(conf, TrainSettings(slots=2))
    preflight.check_conf(conf, TrainSettings(slots=2, unencrypted_gradients=True))
    preflight.check_conf(conf, TrainSettings(slots=1))


def test_executors_without_slotwise(tiny: Path, tmp_path: Path, spark_submit: SparkSubmit) -> None:
    bare = tmp_path / "bare-python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')  # -S: no site-packages
    bare.chmod(0o755)
    environment = {"PYSPARK_PYTHON": str(bare), "PYSPARK_DRIVER_PYTHON": sys.executable}
    done = spark_submit("--master", "local[2]", TRAIN, "--dataset", str(tiny), "--run", "new", "--batch-size", "16", cwd=tmp_path, environment=environment)
    assert done.returncode == 1
    assert "The executors cannot run slotwise (ModuleNotFoundError: No module named 'slotwise')" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_shard_with_a_wrong_checksum(tiny: Path, tmp_path: Path, spark: SparkSession) -> None:
    shutil.copytree(tiny, tmp_path / "damaged")
    flip_a_bit(tmp_path / "damaged" / "train" / "shard-00001.tfrecord")
    with pytest.raises(SlotwiseError) as failed:
        train.run(TrainSettings(dataset=str(tmp_path / "damaged"), run=str(tmp_path / "new"), slots=2, batch_size=16), spark)
    (said,) = str(failed.value).splitlines()
    assert failed.value.exit_code == 1
    assert said.startswith("slot 1 on ")
    for part in ("damaged/train/shard-00001.tfrecord", "checksum", "--overwrite"):
        assert part in said
    assert not (tmp_path / "new" / "run.json").exists()
    assert not (tmp_path / "new" / "checkpoints").exists()


def test_a_slot_that_fails_by_itself_has_the_last_word(tiny: Path, tmp_path: Path, spark_submit: SparkSubmit) -> None:
    shutil.copytree(tiny, tmp_path / "undecodable")
    make_undecodable(tmp_path / "undecodable", shard=1)
    done = spark_submit("--master", "local[2]", TRAIN, "--dataset", "undecodable", "--run", "new", "--slots", "2", "--batch-size", "16", cwd=tmp_path)
    assert done.returncode == 1
    lines = done.stdout.rstrip().splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("error: "))
    ending = lines[at:]
    assert ending[0].startswith("error: slot 1 on ")
    assert "exit code 1" in ending[0]
    assert ending.count("Traceback (most recent call last):") >= 1
    assert "InvalidArgumentError" in "\n".join(ending)
    assert f"slotwise{os.sep}engines" in "\n".join(ending)
    assert "at org.apache.spark" not in done.stdout + done.stderr
    assert (tmp_path / "new" / "failures" / "slot-1.json").exists()
    assert not (tmp_path / "new" / "run.json").exists()
