"""What one Spark task of predict does with its rows: prepare, classify in batches, one row out for each row in."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import pyarrow as pa
from pyspark.accumulators import Accumulator

from slotwise.contracts.catalogue import Status
from slotwise.contracts.prediction import PREDICTED, PREDICTION_SCHEMA
from slotwise.download.progress import Counters
from slotwise.errors import DataError
from slotwise.evaluation.scores import most_probable, softmax
from slotwise.formats.ddl import arrow_schema, record_batch
from slotwise.inference.preparation import Preparation, Prepared
from slotwise.inference.worker import SentModel

_SCHEMA = arrow_schema(PREDICTION_SCHEMA)


class Answered(NamedTuple):
    """Rows of PREDICTION_SCHEMA, and the seconds in the model that they took, decoding of its small JPEGs included."""

    rows: list[dict[str, Any]]
    seconds: float


@dataclass(frozen=True)
class Classification:
    """Puts prepared images to the model, one batch at a time."""

    model: SentModel
    top_k: int
    batch_size: int

    def __call__(self, prepared: Iterator[Prepared]) -> Iterator[Answered]:
        while chunk := list(islice(prepared, self.batch_size)):
            good = self._answered([row for row in chunk if row.image is not None])
            yield Answered(good.rows + [_lost(row) for row in chunk if row.image is None], good.seconds)

    def _answered(self, rows: Sequence[Prepared]) -> Answered:
        if not rows:
            return Answered([], 0.0)
        classifier = self.model.classifier()
        began = time.monotonic()
        try:
            logits = classifier.logits([row.image for row in rows if row.image is not None])
        except DataError as error:  # a JPEG that is damaged within: the others of the batch are to come to no harm
            if len(rows) == 1:
                return Answered([_lost(rows[0]._replace(status=Status.UNREADABLE.value, error=str(error)))], 0.0)
            parts = [self._answered([row]) for row in rows]
            return Answered([row for part in parts for row in part.rows], sum(part.seconds for part in parts))
        seconds = time.monotonic() - began
        probabilities = softmax(logits)
        top = most_probable(probabilities, self.top_k)
        return Answered([self._row(row.id, classes.tolist(), chances[classes].tolist()) for row, classes, chances in zip(rows, top, probabilities, strict=True)], seconds)

    def _row(self, row_id: str, top: list[int], chances: list[float]) -> dict[str, Any]:
        names = [self.model.classes[label] for label in top]
        return {"id": row_id, "class": names[0], "probability": chances[0], "top_classes": names, "top_probabilities": chances, "status": PREDICTED}


@dataclass(frozen=True)
class PredictTask:
    """Rows of INPUT_SCHEMA become rows of PREDICTION_SCHEMA, in whatever order; a task holds one batch at a time."""

    prepare: Preparation
    classify: Classification
    counters: Counters
    model_seconds: Accumulator[float]
    """Time in the model, summed over tasks."""

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        prepared = self.prepare(row for batch in batches for row in batch.to_pylist())
        for rows, seconds in self.classify(prepared):
            good = sum(row["status"] == PREDICTED for row in rows)
            self.counters.good.add(good)
            self.counters.failed.add(len(rows) - good)
            self.model_seconds.add(seconds)
            yield record_batch(rows, _SCHEMA)


def _lost(row: Prepared) -> dict[str, Any]:
    return {"id": row.id, "status": row.status, "error": row.error}
