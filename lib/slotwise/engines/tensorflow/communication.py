"""How long the slots' sums take, measured apart from the training."""

from __future__ import annotations

import statistics
import time

import keras
import numpy as np
import tensorflow as tf

from slotwise.engines.tensorflow.collective import Slots
from slotwise.engines.tensorflow.layers import SlotBatchNormalization

_REPEATS = 5


def all_reduce_seconds(model: keras.Model, slots: Slots) -> float:
    """Median seconds of the sums of one training step: the gradient's, and two for each batch normalisation."""
    if slots.count == 1:
        return 0.0
    gradient = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    statistics_sizes = [2 * layer.moving_mean.shape[0] for layer in model.layers if isinstance(layer, SlotBatchNormalization)]
    values = [tf.zeros([size]) for size in [gradient, *statistics_sizes, *statistics_sizes]]

    def one_after_another() -> tf.Tensor:
        done = tf.zeros([])
        for value in values:
            # Each sum waits for the one before, as the layers of a model do.
            done = tf.reduce_sum(slots.sum(value + done)) * 0.0
        return done

    measured = tf.function(lambda: slots.run(one_after_another), autograph=False)
    measured()
    seconds = []
    for _ in range(_REPEATS):
        began = time.monotonic()
        float(measured())
        seconds.append(time.monotonic() - began)
    return statistics.median(seconds)
