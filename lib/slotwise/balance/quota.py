"""How many samples of a class each split takes: pure arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from slotwise.contracts.catalogue import SPLITS
from slotwise.errors import DataError


def split_quotas(per_class: int, percents: Sequence[int]) -> dict[str, int]:
    """`per_class` divided over the splits by largest remainder, so that the parts add up to it.

    >>> split_quotas(2200, (60, 20, 20))
    {'train': 1320, 'validation': 440, 'test': 440}
    """
    exact = [per_class * percent / 100 for percent in percents]
    quotas = [int(share) for share in exact]
    by_remainder = sorted(range(len(SPLITS)), key=lambda number: (quotas[number] - exact[number], number))
    for number in by_remainder[: per_class - sum(quotas)]:
        quotas[number] += 1
    return dict(zip(SPLITS, quotas, strict=True))


def training_targets(counts: Mapping[str, int], balance: str) -> dict[str, int]:
    """Training samples that each class ends with, from those it has.

    undersample: all as few as the smallest; oversample: all as many as the largest, by repetition; otherwise as they are.

    Raises:
        DataError: a class has no training sample at all.
    """
    empty = [label for label, count in counts.items() if count == 0]
    if empty:
        raise DataError(f"No usable training image is left of class '{empty[0]}'. Take fewer --classes, or a source with more images of it")
    if balance == "undersample":
        return dict.fromkeys(counts, min(counts.values()))
    if balance == "oversample":
        return dict.fromkeys(counts, max(counts.values()))
    return dict(counts)


def class_weights(counts: Sequence[int]) -> list[float]:
    """Loss weights inversely proportional to class sizes; their mean over samples is 1 (scikit-learn's `balanced`)."""
    total = sum(counts)
    return [total / (len(counts) * count) for count in counts]
