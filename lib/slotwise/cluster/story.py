"""What Spark's UI and History Server show of a run beside its stages: where each slot ran, each restart, each epoch, the test."""

from __future__ import annotations

from collections.abc import Iterator

from pyspark.sql import SparkSession

from slotwise.contracts.run import RunRecord
from slotwise.report import wording
from slotwise.session import note

_EPOCHS = 100
"""Of more, the last are shown: the UI keeps a thousand jobs."""


def tell(spark: SparkSession, record: RunRecord, name: str = "") -> None:
    """Lists a run's results among the application's jobs.

    Args:
        name: what tells it from other trainings of the application.
    """
    for line in _lines(record):
        note(spark, f"{name}: {line}" if name else line)


def _lines(record: RunRecord) -> Iterator[str]:
    for slot in record.placement:
        gpus = f", GPU {', '.join(slot.gpus)}" if slot.gpus else ""
        shards = ", ".join(map(str, slot.logical_shards))
        yield f"slot {slot.slot}: executor {slot.executor} on {slot.host}, {wording.count(slot.cores, 'core')}{gpus}, logical shards {shards}"
    for number, restart in enumerate(record.restarts, 1):
        yield f"restart {number} after {wording.duration(restart.seconds)}, on {wording.count(restart.slots, 'slot')}: {restart.reason.splitlines()[0]}"
    for epoch in record.epochs[-_EPOCHS:]:
        validation = f", validation loss {epoch.validation_loss:.4f}, accuracy {wording.percent(epoch.validation_accuracy)}" if epoch.validation_loss is not None else ""
        training = f"loss {epoch.loss:.4f}, accuracy {wording.percent(epoch.accuracy)}"
        yield f"epoch {epoch.epoch}: {training}{validation}, {epoch.images_per_second:,.0f} images/s, {wording.duration(epoch.seconds)}"
    yield f"test: loss {record.test_loss:.4f}, accuracy {wording.percent(record.test_accuracy)} on {wording.count(record.test_images, 'image')}, weights of epoch {record.best_epoch}"
