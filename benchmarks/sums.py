"""One slot's part in timing sums over all slots, and what the sums of a model are.

    python -m benchmarks.sums BYTES…     where `TF_CONFIG` says; prints the median seconds of each size
    python -m benchmarks.sums MODEL      prints as JSON the numbers in each bucket of the gradient, and the channels of each batch normalisation
"""

from __future__ import annotations

import json
import sys

import numpy as np
import tensorflow as tf

from slotwise import models
from slotwise.engines.tensorflow.collective import connect
from slotwise.engines.tensorflow.step import buckets
from slotwise.engines.timing import median_seconds, normalised_channels

_REPEATS = 20
_SHAPES = {"covers": ((150, 100, 3), 12), "resnet18": ((32, 32, 3), 10)}


def times(sizes: list[int]) -> list[float]:
    slots = connect(60, through_memory=False)
    values = [tf.zeros([size // 4]) for size in sizes]
    found = [median_seconds(lambda value=value: slots.summed(value).numpy(), _REPEATS) for value in values]  # type: ignore[misc]
    slots.part()
    return found


def numbers(model_name: str) -> dict[str, list[int]]:
    model = models.build(model_name, *_SHAPES[model_name], {})
    sizes = [int(np.prod(variable.shape)) for variable in model.trainable_variables]
    return {"gradient": [sum(sizes[bucket]) for bucket in buckets(sizes)], "statistics": normalised_channels(model)}


if __name__ == "__main__":
    print(json.dumps(numbers(sys.argv[1])) if sys.argv[1] in _SHAPES else " ".join(map(str, times([int(size) for size in sys.argv[1:]]))))
