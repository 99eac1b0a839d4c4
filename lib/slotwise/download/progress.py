"""A line every few seconds on how far a Spark job over many images is, counted by its tasks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pyspark import SparkContext
from pyspark.accumulators import Accumulator


@dataclass(frozen=True)
class Counters:
    """What tasks add to; a task's sums reach the driver when it ends."""

    good: Accumulator[int]
    failed: Accumulator[int]


@contextmanager
def reported(context: SparkContext, title: str, total: int, *, every: float = 5.0, say: Callable[[str], None] = print) -> Iterator[Counters]:
    """Says `title 1,200/15,600, 1,150 good, 50 failed, 410 images/s` when that has changed, and once at the end."""
    counters = Counters(context.accumulator(0), context.accumulator(0))
    started = time.monotonic()
    ended = threading.Event()
    said = [-1]

    def line() -> None:
        good, failed = counters.good.value, counters.failed.value
        done = min(good + failed, total)  # a task that ran twice has counted twice
        if done == said[0]:
            return
        said[0] = done
        # Until a task has ended nobody knows a rate.
        rate = f", {done / max(1e-9, time.monotonic() - started):,.0f} images/s" if done else ""
        say(f"{title} {done:,}/{total:,}, {min(good, total):,} good, {min(failed, total):,} failed{rate}")

    def watch() -> None:
        while not ended.wait(every):
            line()

    watcher = threading.Thread(target=watch, name="download-progress", daemon=True)
    watcher.start()
    try:
        yield counters
    finally:
        ended.set()
        watcher.join()
        line()
