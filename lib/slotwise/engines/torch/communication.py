"""How long the slots' sums take, measured apart from the training."""

from __future__ import annotations

import statistics
import time

import keras
import torch

from slotwise.engines.torch.collective import Slots
from slotwise.engines.torch.layers import SlotBatchNormalization

_REPEATS = 5


def all_reduce_seconds(model: keras.Model, slots: Slots) -> float:
    """Median seconds of the sums of one training step: the gradient's, and two for each batch normalisation."""
    if slots.count == 1:
        return 0.0
    gradient = sum(variable.value.numel() for variable in model.trainable_variables)
    statistics_sizes = [2 * layer.moving_mean.shape[0] for layer in model.layers if isinstance(layer, SlotBatchNormalization)]
    values = [torch.zeros(size, device=slots.device) for size in [gradient, *statistics_sizes, *statistics_sizes]]
    seconds = []
    for _ in range(1 + _REPEATS):
        began = time.monotonic()
        for value in values:
            slots.sum(value)
        float(values[-1][0])
        seconds.append(time.monotonic() - began)
    return statistics.median(seconds[1:])
