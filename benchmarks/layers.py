"""Where a training step of `covers` goes on one core: milliseconds of processor for the parts of each convolution block, ours and TensorFlow's fused kernel.

    TF_ENABLE_ONEDNN_OPTS=1 taskset -c 0 python -m benchmarks.layers     writes docs/results/layers.md
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import tensorflow as tf

from benchmarks import convolutions, machine
from benchmarks.convolutions import BLOCKS, IMAGES, Part, traced
from slotwise.engines.tensorflow.collective import alone
from slotwise.engines.tensorflow.normalisation import global_statistics, normalise, pooled
from slotwise.engines.training_copy import Pooling
from slotwise.report.markdown import table

_REPEATS, _EPSILON = 7, 1e-3
_POOLING = Pooling((2, 2), (2, 2), "valid")
_PAGE = Path("docs/results/layers.md")
_ALONE = alone()


def parts(height: int, width: int, channels: int, filters: int) -> dict[str, Part]:
    """What a block does with a batch, on the way there and back."""
    outputs = tf.random.normal([IMAGES, height, width, filters])
    upstream, gamma, beta = tf.random.normal(pooled(outputs, _POOLING).shape), tf.ones([filters]), tf.zeros([filters])
    halves = [tf.cast(value, tf.bfloat16) for value in (outputs, upstream)]

    def ours(y: tf.Tensor) -> tf.Tensor:
        return normalise(y, gamma, beta, _EPSILON, _ALONE, tf.ones([]), _POOLING)[0]

    def fused(y: tf.Tensor) -> tf.Tensor:
        return pooled(tf.compat.v1.nn.fused_batch_norm(y, gamma, beta, epsilon=_EPSILON, is_training=True)[0], _POOLING)

    return {
        **convolutions.parts(height, width, channels, filters, "float32"),
        **({f"{name}, bfloat16": part for name, part in convolutions.parts(height, width, channels, filters, "bfloat16").items()} if machine.has_bfloat16() else {}),
        "normalisation and pooling, there and back": traced(lambda: _there_and_back(ours, outputs, upstream)),
        **({"normalisation and pooling, bfloat16": traced(lambda: _there_and_back(ours, *halves))} if machine.has_bfloat16() else {}),
        "the same in float32 by the fused kernel, for one slot alone": traced(lambda: _there_and_back(fused, outputs, upstream)),
        "the statistics of ours": traced(lambda: global_statistics(outputs, _ALONE, tf.ones([]))),
        "reading their input once": traced(lambda: tf.reduce_max(outputs)),
    }


def _there_and_back(layer: Callable[[tf.Tensor], tf.Tensor], x: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = layer(x)
    return tape.gradient(outputs, x, upstream)


def milliseconds(parts: Mapping[str, Part]) -> dict[str, float]:
    """Median processor time of each part, in turn, after one that is not counted."""
    found: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(_REPEATS + 1):
        for name, part in parts.items():
            began = time.process_time()
            part()
            found[name].append(1e3 * (time.process_time() - began))
    return {name: statistics.median(each[1:]) for name, each in found.items()}


def main() -> None:
    convolutions.use_one_thread()
    blocks = [milliseconds(parts(*block)) for block in BLOCKS]
    rows = []
    for name in blocks[-1]:
        each = [block.get(name, 0.0) for block in blocks]
        rows.append([name, *(f"{value:.1f}" for value in each), f"{sum(each):.0f}"])
    head = ["ms, batch of 64 images", *(f"{height}x{width}, {channels} to {filters}" for height, width, channels, filters in BLOCKS), "all"]
    text = "\n".join([*table(head, rows), "", f"On one core of: {machine.facts()['processor']}.", ""])
    print(text)
    _PAGE.write_text(text)


if __name__ == "__main__":
    main()
