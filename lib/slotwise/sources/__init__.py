"""Where images come from: each source reads its own form and gives the same catalogue."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from pyspark.sql import DataFrame, SparkSession

from slotwise.settings.prepare import PrepareSettings

Catalogue = Callable[[SparkSession, PrepareSettings], DataFrame]

# Modules with a function `catalogue`. The demo writes the table that `covers` reads.
_MODULES = {"demo": "covers", "covers": "covers", "cifar10": "cifar10", "fashion-mnist": "fashion_mnist", "folder": "folder"}


def catalogue_of(source: str) -> Catalogue:
    """The function that makes the catalogue (CATALOGUE_SCHEMA) of a source.

    Raises:
        KeyError: there is no such source.
    """
    function: Catalogue = importlib.import_module(f"slotwise.sources.{_MODULES[source]}").catalogue
    return function
