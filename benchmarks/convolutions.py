"""The convolutions of `covers` by themselves, there and back: no program that computes them with TensorFlow's operations trains faster.

    python -m benchmarks.convolutions {float32,bfloat16}     prints images per second on one core
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import tensorflow as tf

IMAGES = 64
BLOCKS = ((150, 100, 3, 32), (75, 50, 32, 48), (37, 25, 48, 64), (18, 12, 64, 80))
"""Of each block the height, the width and the channels of its input, and its filters."""

_REPEATS = 20

Part = Callable[[], object]


def parts(height: int, width: int, channels: int, filters: int, dtype: str) -> dict[str, Part]:
    """A block's convolution of a batch and its gradients, by name."""
    x, kernel = tf.cast(tf.random.normal([IMAGES, height, width, channels]), dtype), tf.cast(tf.random.normal([3, 3, channels, filters], stddev=0.1), dtype)
    convolved = {"strides": [1, 1, 1, 1], "padding": "SAME", "out_backprop": tf.nn.conv2d(x, kernel, 1, "SAME")}
    found = {
        "convolution": traced(lambda: tf.nn.conv2d(x, kernel, 1, "SAME")),
        "its kernel's gradient": traced(lambda: tf.raw_ops.Conv2DBackpropFilter(input=x, filter_sizes=kernel.shape, **convolved)),
    }
    # Nobody needs the images' own.
    return found if channels == 3 else found | {"its input's gradient": traced(lambda: tf.raw_ops.Conv2DBackpropInput(input_sizes=x.shape, filter=kernel, **convolved))}


def traced(part: Part) -> Part:
    return tf.function(part, autograph=False)  # type: ignore[no-any-return]


def use_one_thread() -> None:
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def rate(dtype: str) -> float:
    """Images per second of all of them, one after the other."""
    use_one_thread()
    every = [part for block in BLOCKS for part in parts(*block, dtype).values()]
    seconds = []
    for _ in range(_REPEATS + 1):
        began = time.monotonic()
        for part in every:
            part()
        seconds.append(time.monotonic() - began)
    return IMAGES / statistics.median(seconds[1:])


if __name__ == "__main__":
    print(rate(sys.argv[1]))
