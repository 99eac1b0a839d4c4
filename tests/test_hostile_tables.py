"""Hostile tables that are none: refused in words before any work. What becomes of the others is in test_hostile_dataset.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from hostile_tables import Hostile, hostile_tables
from slotwise.errors import DataError, UsageError
from slotwise.pipelines import prepare
from slotwise.settings.prepare import PrepareSettings
from slotwise.sources import tables

TABLES = hostile_tables()
WANTED = {"url": ("--url-column", "image"), "category": ("--category-column", "categories")}


def test_tables_that_are_none_are_refused_before_spark_does_anything(tmp_path: Path) -> None:
    refused = [table for table in TABLES if table.rows is None and table.before]
    assert len(refused) >= 45
    for table in refused:
        (tmp_path / table.name).write_bytes(table.data)
        with pytest.raises((UsageError, DataError)) as failure:
            tables.read(None, (tmp_path / table.name).as_uri(), WANTED)  # type: ignore[arg-type]
        said = str(failure.value)
        assert table.name.split(".")[0].replace(" ", "%20") in said
        assert said.isprintable(), said
        assert len(said) < 3_000


@pytest.mark.parametrize("table", [table for table in TABLES if table.rows is None and not table.before], ids=lambda table: table.name)
def test_tables_that_begin_well_are_refused_as_a_whole(spark: SparkSession, table: Hostile, tmp_path: Path) -> None:
    (tmp_path / table.name).write_bytes(table.data)
    uri = (tmp_path / table.name).as_uri()
    settings = PrepareSettings(source="covers", input=uri, dataset=(tmp_path / "dataset").as_uri())
    with pytest.raises(DataError, match="cannot be read as CSV") as failure:
        prepare.choose(spark, settings, (tmp_path / "scratch").as_uri())
    assert str(failure.value).isprintable()
