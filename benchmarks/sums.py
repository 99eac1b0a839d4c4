"""One slot's part in timing sums over all slots, and what the sums of a model are.

    python -m benchmarks.sums BYTES…     where `TF_CONFIG` says; prints the median seconds of each size
    python -m benchmarks.sums MODEL      prints as JSON the numbers in each bucket of the gradient, and the channels of each batch normalisation
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import tensorflow as tf

from slotwise import models
from slotwise.engines.tensorflow.collective import Slots, connect
from slotwise.engines.tensorflow.network import Network
from slotwise.engines.tensorflow.step import buckets
from slotwise.engines.timing import median_seconds, normalised_channels

_REPEATS = 20
_MOST_IN_A_ROW, _BYTES_IN_A_ROW = 10, 1 << 20
_LONE_HOST = 2_000  # a group of processes that is nobody else's
_SHAPES = {"covers": ((150, 100, 3), 12), "resnet18": ((32, 32, 3), 10)}


def times(sizes: list[int]) -> list[float]:
    slots = connect(60)
    if slots.neighbours and not slots.between_hosts:  # one host does what each of several does
        slots = replace(slots, between_hosts=Network(_LONE_HOST, 1, slots.network.communication))
    found = [_seconds(slots, size) for size in sizes]
    slots.part()
    return found


def _seconds(slots: Slots, size: int) -> float:
    """Of a sum among others, as in a training step: a call from Python would cost as much as a small sum."""
    in_a_row = max(min(_MOST_IN_A_ROW, _BYTES_IN_A_ROW // size), 1)

    def one_after_another(value: tf.Tensor) -> tf.Tensor:
        for _ in range(in_a_row):
            value = slots.sum(value)
        return value

    value = tf.zeros([size // 4])
    summed = tf.function(lambda: slots.run(one_after_another, value), autograph=False).get_concrete_function()
    return median_seconds(lambda: summed().numpy(), _REPEATS) / in_a_row


def numbers(model_name: str) -> dict[str, list[int]]:
    model = models.build(model_name, *_SHAPES[model_name], {})
    sizes = [int(np.prod(variable.shape)) for variable in model.trainable_variables]
    return {"gradient": [sum(sizes[bucket]) for bucket in buckets(sizes)], "statistics": normalised_channels(model)}


if __name__ == "__main__":
    print(json.dumps(numbers(sys.argv[1])) if sys.argv[1] in _SHAPES else " ".join(map(str, times([int(size) for size in sys.argv[1:]]))))
