"""Large catalogues on two cores and 4 GiB: 150,000 rows of 7,000 categories in a minute, four times the rows in little more than four times the time."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.pairs import Claim, Contestants
from benchmarks.rounds.round import Round
from benchmarks.submit import submit

_ROWS, _CATEGORIES, _SECONDS = 150_000, 7_000, 60


@contextmanager
def _contestants() -> Iterator[Contestants]:
    with tempfile.TemporaryDirectory(prefix="slotwise-bench-") as directory:
        tables = {name: _write_table(Path(directory, f"{rows}.csv"), rows) for name, rows in (("once", _ROWS), ("four times", 4 * _ROWS))}
        heaps: dict[str, float] = {}

        def rate(name: str) -> Callable[[], float]:
            def measure() -> float:
                rows_per_second, heap = submit("benchmarks/catalogue.py", str(tables[name]), master="local[2]", driver_memory="4g").split()[-2:]
                heaps[name] = float(heap)
                return float(rows_per_second)

            return measure

        yield {
            "once": rate("once"),
            "four times": rate("four times"),
            "a minute": lambda: _ROWS / _SECONDS,
            # Of the runs just measured; the less the better, so the inverse is the rate.
            "heap, once": lambda: 1 / heaps["once"],
            "heap, four times": lambda: 1 / heaps["four times"],
        }


def _write_table(path: Path, rows: int) -> Path:
    """Categories as uneven as in the real table: a few hold most rows."""
    generator = np.random.default_rng(7)
    categories = np.minimum(generator.zipf(1.3, rows) - 1, _CATEGORIES - 1)
    categories[:_CATEGORIES] = np.arange(_CATEGORIES)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Title", "description", "authors", "image", "categories"])
        for number, category in enumerate(categories):
            url = f"http://books.example/content?id={number:08d}&printsec=frontcover&img=1&zoom=1"
            writer.writerow([f"Title {number}", 'A long, "quoted" description of what is in it. ' * 8, f"['Author {number % 997}']", url, f"['Category {category}']"])
    return path


ROUND = Round(
    "catalogue",
    (
        Claim("150,000 rows and 7,000 categories chosen, described and split: a minute / its time", 1.0, "once", ("a minute",)),
        Claim("rows/s of 600,000 rows / of 150,000", 4 / 4.4, "four times", ("once",)),
        Claim("driver's heap after 150,000 rows / after 600,000", 0.9, "heap, four times", ("heap, once",)),
    ),
    _contestants,
)
