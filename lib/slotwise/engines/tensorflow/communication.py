"""How long the slots' sums take, measured apart from the training."""

from __future__ import annotations

import keras
import tensorflow as tf

from slotwise.engines.tensorflow.collective import Slots
from slotwise.engines.timing import SUMS, median_seconds, sizes_of_sums


def all_reduce_seconds(model: keras.Model, slots: Slots) -> float:
    """Median seconds of the sums of one training step."""
    if slots.count == 1:
        return 0.0
    values = [tf.zeros([size]) for size in sizes_of_sums(model)]

    def one_after_another() -> tf.Tensor:
        done = tf.zeros([])
        for value in values:
            # Each sum waits for the one before, as the layers of a model do.
            done = tf.reduce_sum(slots.sum(value + done)) * 0.0
        return done

    measured = tf.function(lambda: slots.run(one_after_another), autograph=False)
    return median_seconds(lambda: float(measured()), SUMS)
