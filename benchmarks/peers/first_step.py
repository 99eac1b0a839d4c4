"""What a first training step takes at the least, part by part; each prints its seconds.

    spark-submit benchmarks/peers/first_step.py session           from the start of Java to a session that has run a task
    python -m benchmarks.peers.first_step import                  TensorFlow and Keras
    python -m benchmarks.peers.first_step trace DATASET BATCH     a model and the first call of its `train_on_batch`
"""

from __future__ import annotations

import sys
import time


def session() -> float:
    from pyspark.sql import SparkSession

    from slotwise.session import submitted

    spark = SparkSession.builder.getOrCreate()
    spark.sparkContext.parallelize([0], 1).count()
    return time.time() - submitted(spark)


def imports() -> float:
    began = time.time()
    import keras
    import tensorflow

    assert keras.backend.backend() == "tensorflow"
    assert tensorflow.__version__
    return time.time() - began


def trace(dataset: str, batch_size: int) -> float:
    import keras
    import numpy as np

    from slotwise import models, storage
    from slotwise.contracts import dataset as datasets

    record = datasets.load(storage.normalise(dataset))
    shape = (*record.image_size, record.channels)
    began = time.time()
    model = models.build("covers", shape, len(record.classes), {})
    model.compile(keras.optimizers.Adam(0.001), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.train_on_batch(np.zeros((batch_size, *shape), np.uint8), np.zeros(batch_size, np.int64))
    return time.time() - began


if __name__ == "__main__":
    part, *arguments = sys.argv[1:]
    print(session() if part == "session" else imports() if part == "import" else trace(arguments[0], int(arguments[1])))
