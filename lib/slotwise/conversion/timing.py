"""Several ways to do the same, timed in turn, so that what slows the machine for a while slows all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

# A round of one action takes about this long: many calls where a call is short.
_BLOCK_SECONDS = 0.03


def in_turn(actions: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.perf_counter) -> dict[str, list[float]]:
    """Seconds of one call of each action, once for each round: A, B, C, A, B, C, ….

    An action is called twice before the rounds, and once at the start of each of its turns, uncounted.
    """
    calls = {name: _calls(action, clock) for name, action in actions.items()}
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(rounds):
        for name, action in actions.items():
            action()
            seconds[name].append(_seconds(action, calls[name], clock))
    return seconds


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """Of one value or more, the lower quartile, the median and the upper quartile."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return low, middle, high


def _calls(action: Callable[[], object], clock: Callable[[], float]) -> int:
    action()
    return max(1, round(_BLOCK_SECONDS / max(_seconds(action, 1, clock), 1e-9)))


def _seconds(action: Callable[[], object], calls: int, clock: Callable[[], float]) -> float:
    began = clock()
    for _ in range(calls):
        action()
    return (clock() - began) / calls
