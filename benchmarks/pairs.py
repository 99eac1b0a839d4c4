"""Two ways of doing the same work, measured in turn so that a drift of the machine hits both alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import NamedTuple


class Ratio(NamedTuple):
    """One line of the table: the median of `pairs` ratios of two rates measured next to each other, lowest and highest."""

    name: str
    ratio: float
    low: float
    high: float
    pairs: int
    goal: float
    met: bool


def compare(name: str, ours: Callable[[], float], theirs: Callable[[], float], *, goal: float, pairs: int) -> Ratio:
    """Measures A B A B …, after one uncounted pair, and gives the ratios A/B.

    Args:
        ours, theirs: do the work once and return its rate, in images per second.
        goal: the ratio to reach.
    """
    ours(), theirs()
    ratios = []
    for number in range(pairs):
        a, b = ours(), theirs()
        ratios.append(a / b)
        print(f"  {name}: pair {number + 1} of {pairs}: {a:,.0f} against {b:,.0f} images/s, ratio {a / b:.2f}", flush=True)
    median = statistics.median(ratios)
    return Ratio(name, median, min(ratios), max(ratios), pairs, goal, median >= goal)
