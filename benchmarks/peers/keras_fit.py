"""Plain Keras 3 `model.fit` over a plain tf.data pipeline of the same TFRecords, as its documentation has it.

    python -m benchmarks.peers.keras_fit DATASET MODEL BATCH EPOCHS     prints images per second after the first epoch
"""

from __future__ import annotations

import sys
import time

import keras
import tensorflow as tf

from slotwise import models, storage
from slotwise.contracts import dataset as datasets


def main(dataset: str, model_name: str, batch_size: int, epochs: int) -> float:
    """Images per second of `fit` over the epochs after the first."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    record = datasets.load(dataset)
    shape = (*record.image_size, record.channels)
    files = [storage.local_path(storage.join(dataset, shard.file)) for shard in record.splits["train"].shards]
    features = {"label": tf.io.FixedLenFeature([], tf.int64), "image": tf.io.FixedLenFeature([], tf.string)}

    def parse(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        example = tf.io.parse_single_example(serialized, features)
        return tf.ensure_shape(tf.io.decode_jpeg(example["image"], channels=3), shape), example["label"]

    batches = tf.data.TFRecordDataset(files).shuffle(2000).map(parse, tf.data.AUTOTUNE).batch(batch_size).prefetch(tf.data.AUTOTUNE)
    keras.utils.set_random_seed(7)
    model = models.build(model_name, shape, len(record.classes), {})
    model.compile(keras.optimizers.Adam(0.001), "sparse_categorical_crossentropy", metrics=["accuracy"])
    clock = _EpochClock()
    model.fit(batches, epochs=epochs, verbose=0, callbacks=[clock])
    later = clock.seconds[1:]
    return record.splits["train"].samples * len(later) / sum(later)


class _EpochClock(keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self._began = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        self.seconds.append(time.monotonic() - self._began)


if __name__ == "__main__":
    print(main(storage.normalise(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
