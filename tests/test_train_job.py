"""train_distributed on real parts: standalone cluster, HDFS, spark-submit, History Server."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datasets import draw
from events import seen
from job_runs import COUNTS, EVALUATE, EXPORT, PREDICT, SHARDS, TRAIN, put, tiny_dataset
from slotwise import storage
from slotwise.contracts import run as runs
from slotwise.contracts.evaluation import EvaluationRecord
from slotwise.contracts.export import ExportRecord
from slotwise.contracts.run import Position, RunRecord
from slotwise.localcluster.cluster import LocalCluster
from slotwise.tracking.events import SCALARS
from slotwise.tracking.pictures import confusion_matrix

if TYPE_CHECKING:
    from conftest import History, SparkSubmit

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

# A reader of model.keras and of shards that has nothing but Keras and TensorFlow.
PLAIN_KERAS = """
import glob, json, sys
import keras, tensorflow as tf

model = keras.models.load_model(sys.argv[1])
features = {"label": tf.io.FixedLenFeature([], tf.int64), "image": tf.io.FixedLenFeature([], tf.string)}
found = {}
for split in ("validation", "test"):
    records = tf.data.TFRecordDataset(sorted(glob.glob(f"{sys.argv[2]}/{split}/*.tfrecord")))
    samples = [tf.io.parse_single_example(record, features) for record in records]
    images = tf.stack([tf.io.decode_jpeg(sample["image"], dct_method="INTEGER_ACCURATE") for sample in samples])
    labels = tf.stack([sample["label"] for sample in samples])
    chances = model.predict(images, verbose=0)
    loss = keras.losses.sparse_categorical_crossentropy(labels, tf.cast(chances, tf.float64))
    found[f"confusion {split}"] = tf.math.confusion_matrix(labels, tf.argmax(chances, 1), chances.shape[1]).numpy().tolist()
    found[split] = [len(samples), float(tf.reduce_mean(loss)), float(tf.reduce_mean(tf.cast(tf.argmax(chances, 1) == labels, tf.float64)))]
assert "slotwise" not in sys.modules
print(json.dumps(found))
"""


class Trained(NamedTuple):
    run: str
    record: RunRecord
    output: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def local_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("datasets") / "tiny"
    tiny_dataset(root)
    return root


@pytest.fixture(scope="module")
def dataset(cluster: LocalCluster, local_dataset: Path) -> Iterator[str]:
    uri = put(local_dataset, f"{cluster.hdfs}/tests/{uuid.uuid4().hex[:12]}/tiny")
    yield uri
    storage.delete(storage.parent(uri))


@pytest.fixture(scope="module")
def two_slots(cluster: LocalCluster, dataset: str, spark_submit: SparkSubmit) -> Trained:
    run = storage.join(storage.parent(dataset), "run")
    output = spark_submit("--master", cluster.master, TRAIN, "--dataset", dataset, "--run", run, "--slots", "2", "--model", "simple", "--epochs", "2", "--batch-size", "16")
    assert output.returncode == 0, output.stdout + output.stderr
    return Trained(run, runs.load(run), output)


@pytest.fixture(scope="module")
def resumed(cluster: LocalCluster, dataset: str, two_slots: Trained, spark_submit: SparkSubmit) -> Trained:
    """The same run, gone on with on one slot."""
    output = spark_submit("--master", cluster.master, "--conf", "spark.cores.max=1", TRAIN, "--dataset", dataset, "--run", two_slots.run, "--resume", "--slots", "1", "--epochs", "3", "--batch-size", "16")
    assert output.returncode == 0, output.stdout + output.stderr
    return Trained(two_slots.run, runs.load(two_slots.run), output)


@pytest.fixture(scope="module")
def by_plain_keras(two_slots: Trained, local_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Images, loss and accuracy of each split, and its confusion matrix, by the run's model.keras, before anything went on with the run."""
    model = tmp_path_factory.mktemp("model") / "model.keras"
    storage.download(storage.join(two_slots.run, "model.keras"), str(model))
    done = subprocess.run([sys.executable, "-c", PLAIN_KERAS, str(model), str(local_dataset)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_two_slots_are_placed_on_two_executors(two_slots: Trained) -> None:
    record = two_slots.record
    assert (record.slots, record.model, record.engine) == (2, "simple", "tensorflow")
    assert [slot.slot for slot in record.placement] == [0, 1]
    assert {slot.executor for slot in record.placement} == {"0", "1"}
    assert [slot.cores for slot in record.placement] == [1, 1]
    assert sorted(shard for slot in record.placement for shard in slot.logical_shards) == list(range(SHARDS))


def test_where_the_seconds_before_the_first_step_went(two_slots: Trained) -> None:
    starting = two_slots.record.starting
    assert list(starting) == ["session", "checks", "placing", "imports", "rendezvous", "shards", "model", "first step"]
    assert all(seconds >= 0 for seconds in starting.values())
    assert f"first step after {sum(starting.values()):.1f} s (session {starting['session']:.1f}, " in two_slots.output.stdout


def test_every_epoch_has_every_training_image(two_slots: Trained) -> None:
    assert [(epoch.epoch, epoch.images, epoch.steps) for epoch in two_slots.record.epochs] == [(1, COUNTS[0], 7), (2, COUNTS[0], 7)]
    assert two_slots.record.train_seconds == pytest.approx(sum(epoch.seconds for epoch in two_slots.record.epochs))


def test_model_file_gives_the_recorded_accuracies_in_plain_keras(two_slots: Trained, by_plain_keras: dict[str, Any]) -> None:
    # Equal means: a validation or test image that is counted twice, or by no slot, would change them.
    record = two_slots.record
    best = record.epochs[record.best_epoch - 1]
    images, loss, accuracy = by_plain_keras["test"]
    assert record.test_images == images == COUNTS[2]
    assert (record.test_loss, record.test_accuracy) == (pytest.approx(loss, rel=1e-4), pytest.approx(accuracy, abs=1e-9))
    images, loss, accuracy = by_plain_keras["validation"]
    assert images == COUNTS[1]
    assert (best.validation_loss, best.validation_accuracy) == (pytest.approx(loss, rel=1e-4), pytest.approx(accuracy, abs=1e-9))


def test_evaluate_on_the_executors_gives_the_recorded_test_figures(two_slots: Trained, dataset: str, cluster: LocalCluster, spark_submit: SparkSubmit) -> None:
    output = storage.join(storage.parent(dataset), "evaluation")
    done = spark_submit("--master", cluster.master, EVALUATE, "--runs", two_slots.run, "--output", output, "--batch-size", "5", "--confusion-per-class", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    assert storage.children(output) == ["evaluation.html", "evaluation.json", "evaluation.md"]
    record = EvaluationRecord.model_validate(storage.read_json(storage.join(output, "evaluation.json")))
    (run,) = record.runs
    assert (run.accuracy, run.images) == (two_slots.record.test_accuracy, two_slots.record.test_images)
    assert run.loss == pytest.approx(two_slots.record.test_loss, rel=1e-5)
    assert run.recall == pytest.approx(np.mean([each.recall for each in run.classes]))
    assert sum(each.images for each in run.classes) == sum(each.images for each in run.reliability) == COUNTS[2]
    assert [sum(row) for row in run.confusion] == [3, 3, 3, 3]
    assert run.curves.loss == [epoch.loss for epoch in two_slots.record.epochs]
    assert len(run.wrong) + len(run.right) == min(len(run.wrong), 12) + min(len(run.right), 12) > 0
    assert storage.read_text(storage.join(output, "evaluation.md")).rstrip() in done.stdout


def test_export_from_the_executors_stands_on_the_storage_of_the_run(two_slots: Trained, cluster: LocalCluster, spark_submit: SparkSubmit) -> None:
    done = spark_submit("--master", cluster.master, EXPORT, "--run", two_slots.run, "--formats", "tflite,tflite_int8", "--timing-rounds", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    output = storage.join(two_slots.run, "export")
    assert storage.children(output) == ["export.html", "export.json", "export.md", "model-int8.tflite", "model.tflite"]
    record = ExportRecord.model_validate(storage.read_json(storage.join(output, "export.json")))
    assert (record.images, record.original.accuracy) == (COUNTS[2], two_slots.record.test_accuracy)
    for model in record.models:
        (file,) = model.files
        assert storage.sha256(storage.join(output, file.path)) == file.sha256
    assert storage.read_text(storage.join(output, "export.md")).rstrip() in done.stdout
    storage.delete(output)


def test_predict_on_the_executors_takes_a_folder_on_hdfs(two_slots: Trained, dataset: str, cluster: LocalCluster, spark_submit: SparkSubmit, tmp_path: Path) -> None:
    names = [f"a b/{number}.jpg" for number in range(20)]
    for number, name in enumerate(names):
        file = tmp_path / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(draw(number, number % 4, (20, 30)) if number else b"no picture")
    photos, output = (storage.join(storage.parent(dataset), name) for name in ("photos", "predictions"))
    put(tmp_path / "photos", photos)
    done = spark_submit("--master", cluster.master, "--conf", "spark.cores.max=1", PREDICT, "--run", two_slots.run, "--input", photos, "--output", output)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "20 rows = 19 predicted + 1 not (1 not-an-image)" in done.stdout
    assert not [name for name in storage.children(storage.parent(output)) if name.startswith(".predictions")]
    parts = [storage.read_bytes(storage.join(output, name)) for name in storage.children(output) if name.endswith(".parquet")]
    rows = [row for part in parts for row in pq.ParquetFile(pa.BufferReader(part)).read(use_threads=False).to_pylist()]
    assert sorted(row["id"] for row in rows) == sorted(names)
    assert [row["id"] for row in rows if row["status"] != "predicted"] == ["a b/0.jpg"]
    assert {row["class"] for row in rows} <= {None, *two_slots.record.class_names}


def test_report_and_checkpoints_lie_beside_the_record(two_slots: Trained) -> None:
    assert {"run.json", "model.keras", "report.html", "checkpoints"} <= set(storage.children(two_slots.run))
    assert "failures" not in storage.children(two_slots.run)
    assert storage.read_text(storage.join(two_slots.run, "report.html")).lstrip().lower().startswith("<!doctype html>")


def test_driver_tells_the_progress_by_slot(two_slots: Trained) -> None:
    said = two_slots.output.stdout
    for slot in (0, 1):
        assert re.search(rf"^slot {slot} \| starts on \S+", said, re.MULTILINE)
    assert re.search(r"^slot 0 \| epoch 2/2  done in [\d.]+ s  loss [\d.]+ .* images/s$", said, re.MULTILINE)
    assert "Traceback" not in said + two_slots.output.stderr
    assert f"test accuracy {two_slots.record.test_accuracy:.2%}" in said
    assert f"{two_slots.run}/report.html" in said


def test_history_server_lists_the_training_in_words(two_slots: Trained, history: History) -> None:
    application = history.application("slotwise train simple on 2 slots")
    names = [stage["name"] for stage in history.stages(application["id"])]
    assert names == ["check executors", "train simple on 2 slots"]
    told = [job for job in history.jobs(application["id"]) if not job["numTasks"]]
    assert {job["jobGroup"] for job in told} == {"record"}
    jobs = [job["description"] for job in told]
    record = two_slots.record
    assert [f"slot {slot.slot}: executor {slot.executor} on {slot.host}, 1 core, " in job for slot, job in zip(record.placement, jobs, strict=False)] == [True, True]
    assert jobs[2:4] == [
        f"epoch {epoch.epoch}: loss {epoch.loss:.4f}, accuracy {100 * epoch.accuracy:.2f} %, validation loss {epoch.validation_loss:.4f}, "
        f"accuracy {100 * epoch.validation_accuracy:.2f} %, {epoch.images_per_second:,.0f} images/s, {epoch.seconds:.1f} s"
        for epoch in record.epochs
    ]
    assert f"accuracy {100 * record.test_accuracy:.2f} % on {COUNTS[2]} images" in jobs[4]


def test_resumed_run_goes_on_with_fewer_slots(two_slots: Trained, by_plain_keras: dict[str, Any], resumed: Trained) -> None:
    record = resumed.record
    assert record.resumed_from == [Position(epoch=2, step=0)]
    assert record.slots == len(record.placement) == 1
    assert [epoch.loss for epoch in record.epochs[:2]] == [epoch.loss for epoch in two_slots.record.epochs]
    assert [epoch.epoch for epoch in record.epochs] == [1, 2, 3]
    assert "going on after epoch 2" in resumed.output.stdout


def test_tensorboard_reads_every_epoch_from_hdfs_once(two_slots: Trained, by_plain_keras: dict[str, Any], resumed: Trained) -> None:
    """Two epochs on two slots and a third on one, by TensorBoard's own reader."""
    read = seen(resumed.run)
    assert set(read.scalars) == set(SCALARS)
    for tag, field in SCALARS.items():
        assert read.scalars[tag] == pytest.approx({epoch.epoch: getattr(epoch, field) for epoch in resumed.record.epochs}, rel=1e-6), tag
    assert {tag: list(steps) for tag, steps in read.images.items()} == {"samples/training": [0], "confusion/validation": [1, 2, 3]}
    expected = confusion_matrix(np.array(by_plain_keras["confusion validation"]), resumed.record.class_names)
    assert read.images["confusion/validation"][two_slots.record.best_epoch] == expected.png
