"""Where images come from, by name: each source gives the same catalogue, one row per input row."""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import DataFrame, SparkSession

from slotwise.settings.prepare import PrepareSettings
from slotwise.sources import cifar10, covers, folder

# The demo draws its covers, serves them, and is then read as `covers`.
SOURCES: dict[str, Callable[[SparkSession, PrepareSettings], DataFrame]] = {
    "demo": covers.catalogue,
    "covers": covers.catalogue,
    "cifar10": cifar10.catalogue,
    "folder": folder.catalogue,
}


def catalogue(spark: SparkSession, settings: PrepareSettings) -> DataFrame:
    """The catalogue (CATALOGUE_SCHEMA) of the settings' source.

    Raises:
        UsageError: the input is not what the source needs.
        DataError: the input is damaged.
    """
    return SOURCES[settings.source](spark, settings)
