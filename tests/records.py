"""Run records for tests: whole and plausible, with what a test is about given by name."""

from __future__ import annotations

import os
import tempfile
from typing import Any

import numpy as np

from datasets import draw
from slotwise import storage
from slotwise.contracts import export as exports
from slotwise.contracts import search
from slotwise.contracts.evaluation import EvaluationRecord
from slotwise.contracts.export import ORIGINAL, ExportRecord, FileRecord, MissingRecord, ModelRecord, TensorRecord, TimeRecord
from slotwise.contracts.paths import RunPaths
from slotwise.contracts.run import VERSION, AuditRecord, EpochRecord, RunRecord, SlotRecord
from slotwise.contracts.sample import Sample
from slotwise.contracts.search import Axis, SearchRecord, TrialRecord
from slotwise.evaluation.answers import Selection, answers, keep
from slotwise.evaluation.answers import kept as all_kept
from slotwise.evaluation.tally import tally
from slotwise.evaluation.write import Findings, evaluated_run
from slotwise.explore import record as explored

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


def search_record(*, command: str = "tune", reason: str = "no such layer", **fields: Any) -> SearchRecord:
    """A search over numbers near and far apart, texts and truths; its last trial failed."""
    axes = [
        Axis(name="model_parameters.filters", values=[24, 32, 40]),
        Axis(name="learning_rate", min=1e-4, max=1e-2, sampling="log"),
        Axis(name="optimizer", values=["adam", "sgd"]),
        Axis(name="model_parameters.batch_normalisation", values=[True, False]),
    ]
    trials = []
    for number in range(1, 13):
        places = {axis.name: axis.values[number % len(axis.values)] if axis.values else 1e-4 * 1.5**number for axis in axes}
        losses: list[float | None] = [2.0 / epoch + 0.05 * number for epoch in range(1, 7)]
        trials.append(
            TrialRecord(
                number=number, values=places, epochs=6, run=f"file:///search/trials/{number:03d}", status="finished", validation_loss=losses[-1],
                validation_accuracy=0.4, best_epoch=6, epoch_validation_loss=losses, seconds=45.0 * number, parent=2 if number == 9 else None,
            )
        )  # fmt: skip
    trials[-1] = TrialRecord(number=12, values=trials[-1].values, epochs=6, run="file:///search/trials/012", status="failed", reason=reason, seconds=3.0, restarts=3)
    values: dict[str, Any] = {
        "version": search.VERSION, "dataset": "file:///data/demo", "dataset_fingerprint": "f" * 64, "oracle": "bayesian", "space": axes,
        "settings": {**SETTINGS, "model": "covers"}, "trials": trials, "order": list(range(1, 13)), "created": "2026-01-02T03:04:05+00:00",
        "command": command, "slots": 2, "seconds": 2345.0, "commands": ["spark-submit jobs/train_distributed.py --config best.toml"],
    }  # fmt: skip
    return SearchRecord(**{**values, **fields})


def explore_result(classes: list[str], *, more: int = 60, error: str = "no answer within 10 s") -> explored.ExploreResult:
    """An exploration with images of each class, failures of each kind, and identical images; `more` categories are no classes."""

    def histogram(edges: list[float]) -> explored.Histogram:
        return explored.Histogram(lower_edges=edges, counts=[(7 * place) % 40 for place in range(len(edges))])

    def of_class(place: int, label: str) -> explored.ClassStatistics:
        light = explored.Quantiles(minimum=2, p05=20 + place, p25=60 + place, median=90 + place, p75=140 + place, p95=200 + place, maximum=250)
        spread = explored.Quantiles(minimum=2, p05=10, p25=30, median=50, p75=70, p95=90, maximum=125)
        size = explored.Quantiles(minimum=90, p05=100, p25=110, median=128, p75=300, p95=4000, maximum=9000)
        return explored.ClassStatistics(
            label=label, images=1200 - place, width=size, height=size, brightness=light, brightness_mean=101.5, brightness_std=33.3, contrast=spread,
            contrast_mean=55.5, contrast_std=12.1, pixel_min=0, pixel_max=255, pixel_min_mean=12.0, pixel_max_mean=240.0,
        )  # fmt: skip

    pixels = [0.0, *(float(round(8 * 2 ** (step / 4))) for step in range(41))]
    light = histogram([8.0 * step for step in range(32)])
    sizes = explored.Histograms(width=histogram(pixels), height=histogram(pixels), aspect_ratio=histogram([step / 10 for step in range(41)]), brightness=light, contrast=histogram([4.0 * step for step in range(32)]))
    statuses = {"http-error": 1234, "timeout": 120, "not-an-image": 44, "too-many-pixels": 3, "forbidden-address": 1}
    images = [explored.ExampleImage(id=f"{number:064x}", label=classes[number % len(classes)], error=error) for number in range(4)]
    gathered = explored.GatheredStatistics(
        rows=123_456, rows_by_status={"readable": 122_054, **statuses}, classes=[of_class(*each) for each in enumerate(classes)], histograms=sizes,
        sizes=[explored.SizeCount(width=100 + 37 * step, height=90 + 53 * step, images=900 - 40 * step) for step in range(20)],
        formats={"JPEG": 120_000, "PNG": 2_000, "WEBP": 54}, modes={"RGB": 121_000, "L": 1_000, "P": 54},
        seconds=explored.Quantiles(minimum=0.01, p05=0.02, p25=0.1, median=0.2, p75=0.9, p95=3.1, maximum=30.2), attempts=None,
        failed=[explored.FailedImages(status=status, images=number, examples=images[:number]) for status, number in statuses.items()],
        identical=explored.IdenticalImages(groups=9, images=40, groups_across_classes=2, examples=[explored.IdenticalGroup(images=9, examples=images)]),
    )  # fmt: skip
    names = [*classes, *(f"other category {number}" for number in range(more))]
    catalogue = explored.CatalogueStatistics(
        rows=212_404, rows_by_status={"candidate": 150_000, "other-category": 60_000, "missing-category": 2_000, "duplicate": 404}, rows_without_category=2_000,
        categories=len(names), largest=[explored.CategoryCount(category=name, rows=9000 - 100 * place, is_class=place < len(classes)) for place, name in enumerate(names[:50])],
        more_categories=max(len(names) - 50, 0), more_rows=321,
        cumulative=[explored.CumulativeShare(categories=number, share=(number / len(names)) ** 0.5) for number in (1, 2, 3, 5, 10, 20, 30, 50, len(names))],
    )  # fmt: skip
    return explored.ExploreResult(classes=classes, catalogue=catalogue, gathered=gathered)
