"""How long the slots' sums take, measured apart from the training."""

from __future__ import annotations

import keras
import torch

from slotwise.engines.timing import SUMS, median_seconds, sizes_of_sums
from slotwise.engines.torch.collective import Slots


def all_reduce_seconds(model: keras.Model, slots: Slots) -> float:
    """Median seconds of the sums of one training step."""
    if slots.count == 1:
        return 0.0
    values = [torch.zeros(size, device=slots.device) for size in sizes_of_sums(model)]

    def one_after_another() -> None:
        for value in values:
            slots.sum(value)
        float(values[-1][0])

    return median_seconds(one_after_another, SUMS)
