"""What tests of the training and comparing jobs share: a tiny dataset, ways to damage it, and jobs called without any Java."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datasets import make_dataset
from preloaded import run_program
from slotwise import storage
from slotwise.config import Settings
from slotwise.contracts.sample import Sample
from slotwise.formats import tfrecord
from slotwise.settings.audit import AuditSettings
from slotwise.settings.compare import CompareSettings
from slotwise.settings.doctor import DoctorSettings
from slotwise.settings.evaluate import EvaluateSettings
from slotwise.settings.export import ExportSettings
from slotwise.settings.predict import PredictSettings
from slotwise.settings.prepare import PrepareSettings
from slotwise.settings.study import StudySettings
from slotwise.settings.train import TrainSettings
from slotwise.settings.tune import TuneSettings

JOBS = Path(__file__).resolve().parent.parent / "jobs"
TRAIN, COMPARE, PREPARE, AUDIT, STUDY, PREDICT, EVALUATE, TUNE, EXPORT, DOCTOR = (str(JOBS / f"{name}.py") for name in ("train_distributed", "compare", "prepare", "audit", "study", "predict", "evaluate", "tune", "export", "doctor"))

_ALL: tuple[type[Settings], ...] = (PrepareSettings, TrainSettings, CompareSettings, StudySettings, AuditSettings, PredictSettings, EvaluateSettings, TuneSettings, ExportSettings, DoctorSettings)
SETTINGS = {settings.job: settings for settings in _ALL}
"""Each job's settings, by the job's name."""

SHARDS = 4
# None of them a multiple of the shards: slots hold unequal parts, and one has no sample in a last step of 16.
COUNTS = (97, 27, 23)


def tiny_dataset(root: Path) -> str:
    """97 training, 27 validation and 23 test images of 16×16 in 4 logical shards; returns the URI."""
    return make_dataset(root, shards=SHARDS, counts=COUNTS, image_size=(16, 16))


def put(directory: Path, uri: str) -> str:
    """Copies a local directory to any storage; returns `uri`."""
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            storage.upload(str(path), storage.join(uri, path.relative_to(directory).as_posix()))
    return uri


def edit_record(root: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Changes `dataset.json` of a local dataset."""
    path = root / "dataset.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def empty_split(root: Path, split: str) -> None:
    """Has a local dataset say that nothing is in a split."""

    def change(record: dict[str, Any]) -> None:
        found = record["splits"][split]
        found.update(samples=0, shards=[{**shard, "samples": 0} for shard in found["shards"]])

    edit_record(root, change)


def flip_a_bit(path: Path) -> None:
    """Damages a file without changing its size."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def make_undecodable(root: Path, shard: int) -> None:
    """Puts bytes that are no JPEG into a training shard, with a checksum that fits."""
    path = root / "train" / f"shard-{shard:05d}.tfrecord"
    samples = [tfrecord.decode_example(record) for record in tfrecord.read_records(str(path))]
    with tfrecord.Writer(str(path)) as writer:
        for sample in samples:
            writer.write(Sample(sample.id, sample.label, b"no picture"))
    seen = {"bytes": path.stat().st_size, "sha256": storage.file_sha256(str(path))}
    edit_record(root, lambda record: record["splits"]["train"]["shards"][shard].update(seen))


def without_java(job: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs a job with Python alone where no Java can be found: what ends in good order has not started Spark."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("SPARK_", "PYSPARK_", "JAVA_", "SLOTWISE_"))}
    environment = {**kept, "PATH": "", "JAVA_HOME": str(cwd / "no-java")}
    return run_program(job, arguments, cwd=cwd, environment=environment, timeout=120)
