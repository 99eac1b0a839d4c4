"""What engines measure of a model apart from its training: one image at inference, and the sums over the slots of one step."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import keras
import numpy as np

INFERENCES = 50
SUMS = 5


def median_seconds(action: Callable[[], object], repeats: int) -> float:
    """Median seconds that an action takes, over `repeats` of them after one that is not counted."""
    action()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def sizes_of_sums(model: keras.Model) -> list[int]:
    """Numbers in each sum over the slots of one training step: the gradient's as if it went in one, and two for each batch normalisation."""
    gradient = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    statistics_sizes = [2 * channels for channels in normalised_channels(model)]
    return [gradient, *statistics_sizes, *statistics_sizes]


def normalised_channels(model: keras.Model) -> list[int]:
    """Channels of each batch normalisation, in the order of layers."""
    return [layer.moving_mean.shape[0] for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
