"""A catalogue in the Amazon layout chosen from, described and split, as prepare does before it fetches anything.

    spark-submit benchmarks/catalogue.py CSV     prints rows per second, and the bytes that the driver's heap holds at the end
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from slotwise.explore.stage import explore_catalogue
from slotwise.pipelines import prepare
from slotwise.settings.prepare import PrepareSettings


def main(table: str) -> tuple[float, int]:
    """Rows per second, the session's start included, and bytes."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="slotwise-bench-") as directory:
        settings = PrepareSettings(source="covers", input=table, dataset=Path(directory, "dataset").as_uri()).resolved()
        with prepare.start_session(settings) as spark:
            chosen = prepare.choose(spark, settings, Path(directory).as_uri())
            found = explore_catalogue(chosen.rows, chosen.classes)
            seconds = time.monotonic() - began
            runtime = spark._jvm.java.lang.Runtime.getRuntime()  # type: ignore[union-attr]
            runtime.gc()
            held = runtime.totalMemory() - runtime.freeMemory()
    return found.rows / seconds, held


if __name__ == "__main__":
    print(*main(sys.argv[1]))
