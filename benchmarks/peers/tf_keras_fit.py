"""The published way of 2025: Keras 2 `fit` inside MirroredStrategyRunner, the data divided by `AutoShardPolicy.DATA`.

    spark-submit benchmarks/peers/tf_keras_fit.py DATASET MODEL BATCH EPOCHS SLOTS

prints images per second over all slots after the first epoch. BATCH is of all slots together.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from slotwise import storage
from slotwise.contracts import dataset as datasets


def train(dataset: str, model_name: str, batch_size: int, epochs: int) -> float:
    """Images per second of `fit` over the epochs after the first; called under the runner's MultiWorkerMirroredStrategy."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import tensorflow as tf
    import tf_keras

    record = datasets.load(dataset)
    shape = (*record.image_size, record.channels)
    files = [storage.local_path(storage.join(dataset, shard.file)) for shard in record.splits["train"].shards]
    features = {"label": tf.io.FixedLenFeature([], tf.int64), "image": tf.io.FixedLenFeature([], tf.string)}

    def parse(serialized: Any) -> tuple[Any, Any]:
        example = tf.io.parse_single_example(serialized, features)
        return tf.ensure_shape(tf.io.decode_jpeg(example["image"], channels=3), shape), example["label"]

    class EpochClock(tf_keras.callbacks.Callback):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.seconds: list[float] = []

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.began = time.monotonic()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.seconds.append(time.monotonic() - self.began)

    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    batches = tf.data.TFRecordDataset(files).shuffle(2000).map(parse, tf.data.AUTOTUNE).batch(batch_size).prefetch(tf.data.AUTOTUNE).with_options(options)
    model = network(model_name, shape, len(record.classes))
    model.compile(tf_keras.optimizers.Adam(0.001), "sparse_categorical_crossentropy", metrics=["accuracy"])
    clock = EpochClock()
    model.fit(batches, epochs=epochs, verbose=0, callbacks=[clock])
    return record.splits["train"].samples * (epochs - 1) / sum(clock.seconds[1:])


def network(model: str, image_shape: tuple[int, int, int], classes: int) -> Any:
    """`covers` or `simple` in Keras 2's words."""
    import tf_keras
    from tf_keras import layers

    def block(filters: int, decay: Any = None) -> list[Any]:
        convolution = layers.Conv2D(filters, 3, padding="same", use_bias=False, kernel_regularizer=decay)
        return [convolution, layers.BatchNormalization(momentum=0.9), layers.MaxPooling2D(), layers.ReLU()]

    stack: list[Any] = [layers.Rescaling(1 / 255, input_shape=image_shape)]
    if model == "covers":
        decay = tf_keras.regularizers.L2(1e-4)
        for filters in (32, 48, 64, 80):
            stack += block(filters, decay)
        stack.append(layers.Flatten())
        for width in (128, 64):
            stack += [layers.Dropout(0.3), layers.Dense(width, activation="relu", kernel_regularizer=decay)]
        stack.append(layers.Dropout(0.3))
    else:
        for filters in (32, 64):
            stack += [*block(filters), layers.Dropout(0.25)]
        stack += [layers.Flatten(), layers.Dense(128, use_bias=False), layers.BatchNormalization(momentum=0.9), layers.ReLU(), layers.Dropout(0.5)]
    return tf_keras.Sequential([*stack, layers.Dense(classes, activation="softmax")])


def main(dataset: str, model: str, batch_size: int, epochs: int, slots: int) -> float:
    from spark_tensorflow_distributor import MirroredStrategyRunner

    runner = MirroredStrategyRunner(num_slots=slots, use_gpu=False)
    rate: float = runner.run(train, dataset=dataset, model_name=model, batch_size=batch_size, epochs=epochs)
    return rate


if __name__ == "__main__":
    # By its own name, so that the executors' Python finds what Spark sends them.
    from benchmarks.peers import tf_keras_fit

    print(tf_keras_fit.main(storage.normalise(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])))
