"""Run records for tests: whole and plausible, with what a test is about given by name."""

from __future__ import annotations

import os
import tempfile
from typing import Any

import numpy as np

from datasets import draw
from slotwise import storage
from slotwise.contracts import export as exports
from slotwise.contracts.evaluation import EvaluationRecord
from slotwise.contracts.export import ORIGINAL, ExportRecord, FileRecord, MissingRecord, ModelRecord, TensorRecord, TimeRecord
from slotwise.contracts.paths import RunPaths
from slotwise.contracts.run import VERSION, AuditRecord, EpochRecord, RunRecord, SlotRecord
from slotwise.contracts.sample import Sample
from slotwise.evaluation.answers import Selection, answers, keep
from slotwise.evaluation.answers import kept as all_kept
from slotwise.evaluation.tally import tally
from slotwise.evaluation.write import Findings, evaluated_run

SETTINGS = {
    "batch_size": 64,
    "optimizer": "adam",
    "momentum": 0.0,
    "learning_rate": 0.001,
    "precision": "float32",
    "steps_per_epoch": None,
    "augment": ["flip"],
    "cores_per_slot": 1,
    "use_gpu": False,
    "seed": 7,
}

LAUNCHED = 1767323025.0


def epoch_record(epoch: int, **fields: Any) -> EpochRecord:
    values: dict[str, Any] = {
        "epoch": epoch,
        "steps": 12,
        "images": 768,
        "loss": 2.4 / epoch,
        "accuracy": 1 - 0.9 / epoch,
        "validation_loss": 2.6 / epoch,
        "validation_accuracy": 1 - 0.95 / epoch,
        "learning_rate": 0.001,
        "seconds": 4.0,
        "validation_seconds": 0.5,
        "checkpoint_seconds": 0.1,
        "images_per_second": 192.0,
        "waiting_for_data_share": 0.02,
        "all_reduce_share": 0.08,
        "ended": LAUNCHED + 3 + 4.6 * epoch,
    }
    return EpochRecord(**{**values, **fields})


def slot_record(slot: int, slots: int = 1) -> SlotRecord:
    shards = [shard for shard in range(16) if shard * slots // 16 == slot]
    return SlotRecord(slot=slot, host=f"worker-{slot}", executor=str(slot), cores=1, gpus=[], logical_shards=shards)


def run_record(*, slots: int = 1, epochs: int = 3, settings: dict[str, Any] | None = None, **fields: Any) -> RunRecord:
    """A run; `settings` replaces single settings, `fields` any field of the record."""
    values: dict[str, Any] = {
        "version": VERSION,
        "created": "2026-01-02T03:04:05+00:00",
        "dataset": "file:///data/demo",
        "dataset_fingerprint": "f" * 64,
        "model": "covers",
        "engine": "tensorflow",
        "slots": slots,
        "parameters": 123456,
        "epochs": [epoch_record(epoch) for epoch in range(1, epochs + 1)],
        "test_loss": 1.25,
        "test_accuracy": 0.5,
        "test_images": 240,
        "best_epoch": epochs,
        "train_seconds": 12.0,
        "total_seconds": 20.0,
        "launched": LAUNCHED,
        "images_per_second": 192.0,
        "placement": [slot_record(slot, slots) for slot in range(slots)],
        "settings": {**SETTINGS, **(settings or {})},
        "versions": {"tensorflow": "2.21.0", "keras": "3.15.1"},
        "resumed_from": [],
        "restarts": [],
        "audit": AuditRecord(samples=768, epochs=epochs, per_epoch=768, faults=[]),
        "class_names": ["Cooking", "Fiction", "History"],
    }
    return RunRecord(**{**values, **fields})


def write_model(uri: str, model: Any) -> None:
    """Stores a Keras model as a finished run's."""
    with tempfile.TemporaryDirectory() as scratch:
        local = os.path.join(scratch, "model.keras")
        model.save(local)
        storage.upload(local, RunPaths(storage.normalise(uri)).model)


def write_run(uri: str, record: RunRecord) -> str:
    """Stores a record as a finished run's; returns the run's URI."""
    uri = storage.normalise(uri)
    storage.write_json(RunPaths(uri).record, record.model_dump(mode="json"))
    return uri


def evaluation_record(names: list[str], *, runs: int = 1, command: str = "evaluate", images: int = 60) -> tuple[EvaluationRecord, dict[str, bytes]]:
    """An evaluation of drawn answers, half of them right, and the pictures of its examples."""
    random = np.random.default_rng(2)
    labels = random.integers(0, len(names), images)
    samples = [Sample(f"test-{number}", int(label), draw(number, int(label), (16, 16))) for number, label in enumerate(labels)]
    evaluated = []
    for number in range(runs):
        logits = random.normal(0, 1, (images, len(names))) + np.eye(len(names))[labels]
        kept = keep([all_kept(answers(samples, logits))], Selection(4, None))
        record = run_record(slots=number + 1, class_names=names)
        uri = f"file:///runs/run-{number}"
        evaluated.append(evaluated_run(uri, record, Findings(tally(logits, labels), kept, 2.0), names=names, top_k=2, per_class=None))
    content = EvaluationRecord(
        version=1, created="2026-01-02T03:04:05+00:00", command=command, dataset="file:///data/demo", dataset_fingerprint="f" * 64, split="test",
        images=images, class_names=names, top_k=2, confusion_per_class=None, runs=evaluated,
    )  # fmt: skip
    return content, {sample.id: sample.image for sample in samples}


def export_record(names: list[str], *, command: str = "export", reason: str = "no such layer") -> ExportRecord:
    """An export to two formats, the second of which gives whole numbers, with one that could not be made."""

    def model(name: str, path: str, factor: float, gives: TensorRecord) -> ModelRecord:
        file = FileRecord(path=path, bytes=int(2_000_000 * factor), sha256="a" * 64)
        times = [TimeRecord(batch=batch, median=0.004 * factor / batch, low=0.0039 * factor / batch, high=0.0043 * factor / batch) for batch in (1, 32)]
        takes = TensorRecord(dtype="uint8", shape=[None, 16, 16, 3])
        return ModelRecord(format=name, files=[file], bytes=file.bytes, takes=takes, gives=gives, accuracy=0.7 + factor / 100, agreement=0.98, times=times)

    in_float32 = TensorRecord(dtype="float32", shape=[None, len(names)])
    in_int8 = TensorRecord(dtype="uint8", shape=[None, len(names)], scale=1 / 256)
    return ExportRecord(
        version=exports.VERSION, created="2026-01-02T03:04:05+00:00", command=command, run="file:///runs/run-0", model="simple", model_sha256="b" * 64,
        class_names=names, image_shape=(16, 16, 3), dataset="file:///data/demo", dataset_fingerprint="f" * 64, images=60, calibration_images=20, cores=1, versions={},
        original=model(ORIGINAL, "file:///runs/run-0/model.keras", 1.0, in_float32),
        models=[model("tflite", "model.tflite", 0.98, in_float32), model("tflite_int8", "model-int8.tflite", 0.25, in_int8)],
        missing=[MissingRecord(format="onnx", reason=reason)],
    )  # fmt: skip
