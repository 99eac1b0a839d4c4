"""Feeding alone: the training split decoded, flipped and cropped in the order of a slot's epochs.

    python -m benchmarks.feeding DATASET BATCH EPOCHS     prints images per second after the first epoch
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf

from slotwise import storage
from slotwise.contracts import dataset as datasets
from slotwise.feed import records
from slotwise.feed.order import training_plan
from slotwise.feed.pipeline import training_batches
from slotwise.feed.shards import local_shards
from slotwise.settings.train import TrainSettings


def main(dataset: str, batch_size: int, epochs: int) -> float:
    """Images per second of one slot's feed on one core."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    settings = TrainSettings(dataset=dataset, batch_size=batch_size, augment=["flip", "crop"])
    record = datasets.load(dataset)
    shards = tuple(range(record.logical_shards))
    shape = (*record.image_size, record.channels)
    samples = records.load(local_shards(dataset, record, "train", shards), shape, settings.feed_memory << 20)
    plan = training_plan(record, settings)

    batches = iter(training_batches(samples, plan, shards, shape, augmentation=settings.augment, seed=settings.seed, threads=1))
    return rate(lambda _: itertools.islice(batches, plan.steps), epochs, record.splits["train"].samples)


def rate(epoch: Callable[[int], Iterable[Any]], epochs: int, images: int) -> float:
    """Images per second over the epochs after the first, nothing being done with them."""
    seconds = []
    for number in range(epochs):
        began = time.monotonic()
        for _ in epoch(number):
            pass
        seconds.append(time.monotonic() - began)
    return images * (epochs - 1) / sum(seconds[1:])


if __name__ == "__main__":
    print(main(storage.normalise(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
