"""From images to a comparison: what prepare and compare do, one after the other, each step kept once it is finished."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import SparkSession

from slotwise import models, storage
from slotwise.config import first_change
from slotwise.contracts import dataset as datasets
from slotwise.contracts.comparison import ComparisonRecord
from slotwise.contracts.paths import DatasetPaths
from slotwise.errors import UsageError
from slotwise.pipelines import compare, prepare, train
from slotwise.settings.prepare import PrepareSettings
from slotwise.settings.study import StudySettings

# What decides which images a dataset holds, and how.
_DECISIVE = (
    "source", "input", "format", "classes", "class_pattern", "per_class", "balance", "image_size", "logical_shards", "split", "keep_splits", "seed",
)  # fmt: skip


def check(settings: StudySettings) -> PrepareSettings | None:
    """What is to be prepared, or None where the dataset is there already; everything else that can be refused without Spark.

    Raises:
        UsageError: something of these settings cannot be done, or what is there was made with others.
        DataError: the dataset that is there is damaged.
    """
    preparation = settings.preparation()
    for engine in settings.engines:
        train.check_engine(engine, settings)
    if settings.model:
        models.check(settings.model, settings.model_parameters)
    dataset = str(preparation.dataset)
    if settings.overwrite or not storage.exists(DatasetPaths(dataset).record):
        return prepare.check(preparation)
    found = datasets.load(dataset).settings
    # The demo draws its own input, and has it in its record.
    decisive = set(_DECISIVE) - ({"input"} if preparation.source == "demo" else set())
    if change := first_change(found, preparation.model_dump(mode="json", include=decisive)):
        raise UsageError(f"The dataset at {dataset} was made otherwise", received=change.now, accepted=f"{change.then}, another --dataset, or --overwrite to make it and the runs anew")
    compare.check(settings.comparison())
    return None


def run(settings: StudySettings, preparation: PrepareSettings | None, command: Sequence[str], spark: SparkSession | None = None) -> ComparisonRecord:
    """Prepares if there is something to prepare, does the runs that are missing, compares; in the session given, or in its own.

    Args:
        preparation: what `check` returned.
        command: what the user typed, word by word.

    Raises:
        SlotwiseError: as the steps do; what was finished before is kept.
    """
    if preparation is None:
        print(f"kept: the dataset at {settings.preparation().dataset}", flush=True)
    else:
        print(prepare.describe(prepare.run(preparation, spark)), flush=True)
    comparison = settings.comparison()
    compare.run_all(compare.check(comparison), spark)
    return compare.finish(comparison, command)
