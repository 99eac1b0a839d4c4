"""The model in Spark's Python workers: sent once to each machine, loaded once by each worker, held to the cores of a task."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark import TaskContext
from pyspark.core.broadcast import Broadcast
from pyspark.sql import SparkSession

from slotwise import numerics
from slotwise.engines import lean
from slotwise.inference.model_file import ModelFile

if TYPE_CHECKING:
    from slotwise.inference.classifier import Classifier

# The one model that this worker has loaded, by its checksum.
_loaded: dict[str, Classifier] = {}


@dataclass(frozen=True)
class SentModel:
    """A model on its way to the workers: every one of them gets the bytes that the driver has checked."""

    content: Broadcast[bytes]
    sha256: str
    image_shape: tuple[int, int, int]
    classes: tuple[str, ...]

    def classifier(self) -> Classifier:
        """The model, in a worker; a second task of the same worker finds it loaded.

        Raises:
            DataError: it cannot be loaded.
        """
        if self.sha256 not in _loaded:
            load_tensorflow()
            # Spark's workers are forked from a process without TensorFlow, and each loads its own.
            from slotwise.inference.classifier import Classifier

            _loaded.clear()
            _loaded[self.sha256] = Classifier(self.content.value, self.image_shape, len(self.classes))
        return _loaded[self.sha256]


def send(spark: SparkSession, model: ModelFile) -> SentModel:
    return SentModel(spark.sparkContext.broadcast(model.content), model.sha256, model.image_shape, tuple(model.record.class_names))


def load_tensorflow() -> int:
    """TensorFlow with as many threads as the task has cores, whose number is returned: beside it other tasks keep the other cores busy."""
    context = TaskContext.get()
    cores = context.cpus() if context else 1
    os.environ.update(
        KERAS_BACKEND="tensorflow",
        CUDA_VISIBLE_DEVICES="",
        **numerics.environment(cores),
        TF_CPP_MIN_LOG_LEVEL=os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3"),
    )
    lean.load()  # reads the environment as it starts
    return cores
