"""The jobs as functions, for notebooks: `slotwise.prepare`, `train`, `tune`, `evaluate` and `predict`, in the session that is there.

Arguments are the jobs' flags with underscores; the same settings check them, and errors name them as they are typed here. No
session is stopped that was there before; where there is none, one is started as a job would, and stopped at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from slotwise import config, session
from slotwise.contracts.dataset import DatasetRecord
from slotwise.contracts.evaluation import EvaluationRecord
from slotwise.contracts.run import RunRecord
from slotwise.contracts.search import SearchRecord
from slotwise.pipelines import evaluate as evaluating
from slotwise.pipelines import frame
from slotwise.pipelines import prepare as preparing
from slotwise.pipelines import train as training
from slotwise.pipelines import tune as tuning
from slotwise.settings.evaluate import EvaluateSettings
from slotwise.settings.predict import FrameSettings
from slotwise.settings.prepare import PrepareSettings
from slotwise.settings.train import TrainSettings
from slotwise.settings.tune import TuneSettings

# An error of one function may name an argument of another, as where a dataset is to be made otherwise.
_SETTINGS = (PrepareSettings, TrainSettings, TuneSettings, EvaluateSettings, FrameSettings)


def prepare(spark: SparkSession | None = None, **settings: Any) -> DatasetRecord:
    """Turns images into a dataset, as `jobs/prepare.py` does; returns what is in `dataset.json`, with its place in `uri`.

    Args:
        spark: the session to work in.
        settings: those of `slotwise.settings.prepare.PrepareSettings`.

    Raises:
        UsageError: something of these settings cannot be done; Spark has done nothing.
        DataError: the input cannot be read, or too few images are left.
    """
    with config.said_in_python(*_SETTINGS):
        return preparing.run(config.from_arguments(PrepareSettings, settings), spark or session.running())


def train(spark: SparkSession | None = None, **settings: Any) -> RunRecord:
    """Trains on the slots of a session, as `jobs/train_distributed.py` does; returns what is in `run.json`, with its place in `uri`.

    Args:
        spark: the session to work in.
        settings: those of `slotwise.settings.train.TrainSettings`.

    Raises:
        UsageError: something of these settings cannot be done, or not in this session.
        Interrupted: a signal ended it, with a checkpoint to go on from.
        TrainingFailed: the slots could not do it.
    """
    with config.said_in_python(*_SETTINGS):
        return training.run(config.from_arguments(TrainSettings, settings), spark or session.running())


def tune(spark: SparkSession | None = None, **settings: Any) -> SearchRecord:
    """Searches the best settings, as `jobs/tune.py` does; returns what is in `tune.json`.

    Args:
        spark: the session to work in.
        settings: those of `slotwise.settings.tune.TuneSettings`.

    Raises:
        UsageError: something of these settings cannot be done, or not in this session.
        Interrupted: a signal ended it; `resume=True` goes on.
        TrainingFailed: no trial finished.
    """
    with config.said_in_python(*_SETTINGS):
        return tuning.run(config.from_arguments(TuneSettings, settings), _call("tune", settings), spark or session.running())


def evaluate(spark: SparkSession | None = None, **settings: Any) -> EvaluationRecord:
    """Evaluates runs side by side, as `jobs/evaluate.py` does; returns what is in `evaluation.json`.

    Args:
        spark: the session to work in.
        settings: those of `slotwise.settings.evaluate.EvaluateSettings`.

    Raises:
        UsageError: something of these settings cannot be done; Spark has done nothing.
        DataError: a model or the dataset is damaged.
    """
    with config.said_in_python(*_SETTINGS):
        return evaluating.run(config.from_arguments(EvaluateSettings, settings), _call("evaluate", settings), spark or session.running())


def predict(df: DataFrame, run: Any, **settings: Any) -> DataFrame:
    """A DataFrame's rows with the predictions of a run's model beside their own columns; nothing is computed before it is asked for.

    The new columns are those of `slotwise.contracts.prediction.ANSWER_SCHEMA`. A bad image is a row with a status and an error, and
    nulls for the rest. The model is sent to the executors now. Only the column of images goes through Python, as many rows at a time
    as `spark.sql.execution.arrow.maxRecordsPerBatch` says when it is computed: less than Spark's 10,000 where images are large.

    Args:
        df: with image files as bytes, or with URLs.
        run: URI of the finished run, or of a saved `slotwise.ml.ImageClassifierModel`'s directory `run`.
        settings: those of `slotwise.settings.predict.FrameSettings`.

    Raises:
        UsageError: the run has no model, the DataFrame no images, or columns of the new ones' names.
        DataError: the model or the run's record is damaged.
    """
    with config.said_in_python(*_SETTINGS):
        return frame.predict(df, config.from_arguments(FrameSettings, {"run": run, **settings}))


def _call(function: str, settings: Mapping[str, Any]) -> str:
    """What the user typed."""
    return f"slotwise.{function}({', '.join(f'{name}={value!r}' for name, value in settings.items())})"
