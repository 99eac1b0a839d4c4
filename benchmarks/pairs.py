"""Several ways of doing the same work, measured in turn so that a drift of the machine hits all alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

Contestants = dict[str, Callable[[], float]]
"""By name: does the work once, and returns its rate."""


class Claim(NamedTuple):
    """A line of the table to be: the rate of `ours` against that of the fastest of `theirs`, and the ratio to reach.

    A line without a goal explains another: it says how far that one can get.
    """

    name: str
    goal: float | None
    ours: str
    theirs: tuple[str, ...]


class Ratio(NamedTuple):
    """A line of the table: the median of `pairs` ratios of rates measured next to each other, lowest and highest."""

    name: str
    ratio: float
    low: float
    high: float
    pairs: int
    goal: float | None
    met: bool | None


def compare(contestants: Contestants, claims: Sequence[Claim], *, pairs: int) -> list[Ratio]:
    """Measures A B C A B C …, after one uncounted turn, and gives each claim's ratios.

    Args:
        contestants: those that no claim names are not measured.
        pairs: how many turns count.
    """
    named = {name for claim in claims for name in (claim.ours, *claim.theirs)}
    chosen = {name: measure for name, measure in contestants.items() if name in named}
    turns = []
    for number in range(pairs + 1):
        rates = {name: measure() for name, measure in chosen.items()}
        print(f"  {f'turn {number} of {pairs}' if number else 'warm-up'}: " + ", ".join(f"{name} {rate:,.4g}" for name, rate in rates.items()), flush=True)
        turns.append(rates)
    return [ratio_of(claim, turns[1:]) for claim in claims]


def ratio_of(claim: Claim, turns: Sequence[dict[str, float]]) -> Ratio:
    """What turns of rates say of a claim."""
    ratios = [rates[claim.ours] / max(rates[name] for name in claim.theirs) for rates in turns]
    median = statistics.median(ratios)
    return Ratio(claim.name, median, min(ratios), max(ratios), len(ratios), claim.goal, None if claim.goal is None else median >= claim.goal)
