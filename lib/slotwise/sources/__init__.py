"""Where images come from: each source reads its own form and gives the same catalogue."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager

from pyspark.sql import DataFrame, SparkSession

from slotwise.settings.prepare import PrepareSettings
from slotwise.sources.reading import CSV, PARQUET, reading

Catalogue = Callable[[SparkSession, PrepareSettings], DataFrame]

# Modules with a function `catalogue`. The demo writes the table that `covers` reads.
_MODULES = {"demo": "covers", "covers": "covers", "cifar10": "cifar10", "fashion-mnist": "fashion_mnist", "folder": "folder"}
# What Spark itself reads, and only when the rows are wanted.
_FORMS = {"demo": CSV, "covers": CSV, "cifar10": PARQUET}


def catalogue_of(source: str) -> Catalogue:
    """The function that makes the catalogue (CATALOGUE_SCHEMA) of a source.

    Raises:
        KeyError: there is no such source.
    """
    function: Catalogue = importlib.import_module(f"slotwise.sources.{_MODULES[source]}").catalogue
    return function


def reading_input(settings: PrepareSettings) -> AbstractContextManager[None]:
    """For the first use of a catalogue's rows: a DataError where the input turns out to be damaged."""
    return reading(str(settings.input), _FORMS.get(settings.source))
