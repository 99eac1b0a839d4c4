"""Petastorm's `make_petastorm_dataset` over `make_reader` of the same images as Parquet, as its documentation has it.

    python -m benchmarks.peers.petastorm_reader DATASET BATCH EPOCHS     prints images per second after the first epoch

The reader decodes JPEG; flip and crop are tf.data's.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from benchmarks.feeding import rate
from slotwise import storage
from slotwise.contracts import dataset as datasets


def main(dataset: str, batch_size: int, epochs: int) -> float:
    """Images per second on one core."""
    warnings.simplefilter("ignore")
    from petastorm import make_reader
    from petastorm.tf_utils import make_petastorm_dataset

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    record = datasets.load(dataset)
    height, width = record.image_size
    kept = (9 * height // 10, 9 * width // 10, 3)

    def load(row: Any) -> tuple[tf.Tensor, tf.Tensor]:
        image = tf.image.random_flip_left_right(tf.image.random_crop(row.image, kept))
        return tf.image.resize(image, (height, width)), row.label

    def epoch(_: int) -> Iterable[Any]:
        with make_reader(storage.join(dataset, "train"), num_epochs=1) as reader:
            yield from make_petastorm_dataset(reader).map(load, tf.data.AUTOTUNE).batch(batch_size).prefetch(tf.data.AUTOTUNE)

    return rate(epoch, epochs, record.splits["train"].samples)


if __name__ == "__main__":
    print(main(storage.normalise(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])), flush=True)
    os._exit(0)  # the reader's threads may outlive it
