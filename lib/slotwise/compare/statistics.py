"""Means, spreads and the 95 % interval of a mean, for the handful of repeats a comparison has."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def finite(value: float | None) -> float | None:
    """The value, or None where it is none or not finite: JSON has no NaN."""
    return value if value is not None and math.isfinite(value) else None


def finite_mean(values: Sequence[float | None]) -> float | None:
    """The mean, or None where any value is missing or not finite."""
    present = [value for value in map(finite, values) if value is not None]
    return mean(present) if present and len(present) == len(values) else None


def deviation(values: Sequence[float]) -> float | None:
    """Sample standard deviation (divisor n - 1); None for a single value and where one is not finite."""
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return None
    return statistics.stdev(values)


def interval(values: Sequence[float]) -> tuple[float, float] | None:
    """95 % confidence interval of the mean by Student's t; None for fewer than two values."""
    spread = deviation(values)
    if spread is None:
        return None
    centre = mean(values)
    margin = t_quantile(len(values) - 1) * spread / math.sqrt(len(values))
    return centre - margin, centre + margin


def t_quantile(freedom: int, confidence: float = 0.95) -> float:
    """The t with P(|T| < t) = `confidence` for Student's distribution with `freedom` degrees of freedom."""
    low, high = 0.0, math.pi / 2
    for _ in range(100):
        angle = (low + high) / 2
        low, high = (angle, high) if _t_inside(angle, freedom) < confidence else (low, angle)
    return math.sqrt(freedom) * math.tan((low + high) / 2)


def _t_inside(angle: float, freedom: int) -> float:
    """P(|T| < √freedom · tan(angle)): the finite sums of Abramowitz and Stegun 26.7.3 and 26.7.4, exact for whole degrees."""
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2 == 1
    term = cosine if odd else 1.0
    total = 0.0
    for power in range(1 if odd else 0, freedom - 1, 2):
        total += term
        term *= cosine * cosine * (power + 1) / (power + 2)
    return 2 / math.pi * (angle + sine * total) if odd else sine * total
