"""Run records for tests: whole and plausible, with what a test is about given by name."""

from __future__ import annotations

import os
import tempfile
from typing import Any

import numpy as np

from datasets import draw
from slotwise import storage
from slotwise.contracts.evaluation import EvaluationRecord
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
