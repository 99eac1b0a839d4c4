"""The model as a function of a DataFrame's column: an image or a URL in, its prediction out, in the order of the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
from pyspark.sql import Column
from pyspark.sql import functions as F

from slotwise.contracts.catalogue import Status
from slotwise.contracts.prediction import ANSWER_SCHEMA
from slotwise.formats.ddl import columns_of
from slotwise.inference.preparation import Preparation
from slotwise.inference.task import Classification

_FIELDS = tuple(columns_of(ANSWER_SCHEMA))


def prediction(prepare: Preparation, classify: Classification) -> Callable[[Column], Column]:
    """A function from image files (binary), or from URLs (string), to structs of ANSWER_SCHEMA, evaluated where the rows are."""

    def answers(batches: Iterator[pd.Series]) -> Iterator[pd.DataFrame]:
        for batch in batches:
            rows = (_row(number, value, prepare) for number, value in enumerate(batch))
            answered = {row["id"]: row for found in classify(prepare(rows)) for row in found.rows}
            yield pd.DataFrame([[answered[str(number)].get(name) for name in _FIELDS] for number in range(len(batch))], columns=_FIELDS, dtype=object)

    # Spark moves what it takes for deterministic, and would put each image to the model again for a condition on the status.
    function: Callable[[Column], Column] = F.pandas_udf(answers, ANSWER_SCHEMA).asNondeterministic()  # type: ignore[call-overload]
    return function


def _row(number: int, value: Any, prepare: Preparation) -> dict[str, Any]:
    """A row of INPUT_SCHEMA, by its number in the batch."""
    row = dict.fromkeys(("url", "image", "size", "status", "error"))
    if prepare.source == "urls":
        url = (value or "").strip()
        return {**row, "id": str(number), "url": url} if url else {**row, "id": str(number), "status": Status.MISSING_IMAGE.value, "error": "no URL"}
    size = None if value is None else len(value)
    return {**row, "id": str(number), "size": size, "image": None if size is None or size > prepare.options.max_bytes else value}
