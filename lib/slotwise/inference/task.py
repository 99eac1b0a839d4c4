"""What one Spark task of predict does with its rows: prepare, classify in batches, one row out for each row in."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pyarrow as pa
from pyspark.accumulators import Accumulator

from slotwise.contracts.catalogue import Status
from slotwise.contracts.prediction import PREDICTED
from slotwise.download.progress import Counters
from slotwise.errors import DataError
from slotwise.evaluation.scores import most_probable, softmax
from slotwise.inference.preparation import Preparation, Prepared
from slotwise.inference.worker import SentModel

_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("class", pa.string()),
        ("probability", pa.float64()),
        ("top_classes", pa.list_(pa.string())),
        ("top_probabilities", pa.list_(pa.float64())),
        ("status", pa.string()),
        ("error", pa.string()),
    ]
)


@dataclass(frozen=True)
class PredictTask:
    """Rows of INPUT_SCHEMA become rows of PREDICTION_SCHEMA, in whatever order; a task holds one batch at a time."""

    prepare: Preparation
    model: SentModel
    top_k: int
    batch_size: int
    counters: Counters
    model_seconds: Accumulator[float]
    """Time in the model, decoding of its small JPEGs included, summed over tasks."""

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        prepared = self.prepare(batches)
        while chunk := list(islice(prepared, self.batch_size)):
            rows = [*self._classified([row for row in chunk if row.image is not None])]
            rows += [_lost(row) for row in chunk if row.image is None]
            good = sum(row["status"] == PREDICTED for row in rows)
            self.counters.good.add(good)
            self.counters.failed.add(len(rows) - good)
            yield pa.RecordBatch.from_pylist(rows, schema=_SCHEMA)

    def _classified(self, rows: Sequence[Prepared]) -> list[dict[str, Any]]:
        if not rows:
            return []
        classifier = self.model.classifier()
        began = time.monotonic()
        try:
            logits = classifier.logits([row.image for row in rows if row.image is not None])
        except DataError as error:  # Pillow has read it, TensorFlow does not: the others of the batch are to come to no harm
            if len(rows) > 1:
                return [found for row in rows for found in self._classified([row])]
            return [_lost(rows[0]._replace(status=Status.UNREADABLE.value, error=str(error)))]
        self.model_seconds.add(time.monotonic() - began)
        probabilities = softmax(logits)
        top = most_probable(probabilities, self.top_k)
        return [self._row(row.id, classes.tolist(), chances[classes].tolist()) for row, classes, chances in zip(rows, top, probabilities, strict=True)]

    def _row(self, row_id: str, top: list[int], chances: list[float]) -> dict[str, Any]:
        names = [self.model.classes[label] for label in top]
        return {"id": row_id, "class": names[0], "probability": chances[0], "top_classes": names, "top_probabilities": chances, "status": PREDICTED}


def _lost(row: Prepared) -> dict[str, Any]:
    return {"id": row.id, "status": row.status, "error": row.error}
