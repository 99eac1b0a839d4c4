"""A trained model that takes JPEGs of its size: decoded as training decodes them, in one computation with the model."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from slotwise.engines.tensorflow.layers import WideningConv2D
from slotwise.engines.training_copy import training_copy
from slotwise.errors import DataError
from slotwise.evaluation.scores import Scores
from slotwise.feed.records import decode


class Classifier:
    """The model in a `.keras` file; nothing in the file is run as Python code.

    Args:
        content: the file.
        image_shape: (height, width, channels).
        classes: outputs that it has to have.

    Raises:
        DataError: Keras cannot load it, or it takes or gives other shapes.
    """

    def __init__(self, content: bytes, image_shape: tuple[int, int, int], classes: int) -> None:
        model = load_keras(content, image_shape, classes)
        # The loss of logits is exact where a probability is too small for its type. Convolutions are those of training.
        self._model, _ = training_copy(model, None, {keras.layers.Conv2D: WideningConv2D})
        self._image_shape = image_shape
        self._logits = tf.function(self._traced_logits, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)

    def logits(self, images: Sequence[bytes]) -> Scores:
        """What comes before the softmax, float64 [n, classes], of JPEGs of the model's size.

        Raises:
            DataError: one cannot be decoded.
        """
        try:
            return np.asarray(self._logits(tf.constant(list(images), tf.string)).numpy())
        except tf.errors.InvalidArgumentError as error:
            raise DataError(f"TensorFlow cannot decode a JPEG: {error.message.splitlines()[0]}") from None

    def _traced_logits(self, jpegs: tf.Tensor) -> tf.Tensor:
        images = tf.map_fn(lambda jpeg: decode(jpeg, self._image_shape), jpegs, fn_output_signature=tf.TensorSpec(self._image_shape, tf.uint8))
        return tf.cast(self._model(images, training=False), tf.float64)


def load_keras(content: bytes, image_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """The model in a `.keras` file, in Keras's safe mode; arguments and errors as of `Classifier`."""
    model = _loaded(content)
    if (model.input_shape, model.output_shape) != ((None, *image_shape), (None, classes)):
        raise DataError(f"The model takes {model.input_shape} and gives {model.output_shape}, where {image_shape} and {classes} classes were said")
    return model


def _loaded(content: bytes) -> keras.Model:
    with tempfile.TemporaryDirectory(prefix="slotwise-model-") as scratch:
        path = os.path.join(scratch, "model.keras")
        Path(path).write_bytes(content)
        try:
            return keras.models.load_model(path, compile=False, safe_mode=True)
        # Keras raises whatever the file leads it to.
        except Exception as error:
            reason = next(iter(str(error).splitlines()), "")
            raise DataError(f"The model cannot be loaded: {type(error).__name__}: {reason}") from None
