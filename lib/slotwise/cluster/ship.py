"""Brings the source of a user's own model to the executors."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

from pyspark.sql import SparkSession

from slotwise.models.definition import Definition


def ship(spark: SparkSession, definition: Definition) -> None:
    """Makes a model's module importable on every executor: its file, or all Python files of its package.

    slotwise's own models are there already, with slotwise.
    """
    path = definition.path
    if definition.module.partition(".")[0] == __name__.partition(".")[0]:
        return
    if path.is_file():
        spark.sparkContext.addPyFile(str(path))
        return
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / f"{path.name}.zip"
        with zipfile.ZipFile(archive, "w") as target:
            for file in sorted(path.rglob("*.py")):
                target.write(file, file.relative_to(path.parent))
        spark.sparkContext.addPyFile(str(archive))
