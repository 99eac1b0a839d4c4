"""The run's own model as conversions start from it, and as it is timed: pixels as decoded in, probabilities out."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from slotwise.conversion.formats import Answers, Pixels
from slotwise.inference.classifier import load_keras


class Original:
    """The model in a `.keras` file.

    Args:
        content: the file.
        image_shape: (height, width, channels).
        classes: outputs that it has to have.
        calibration: validation images, uint8 [n, height, width, channels]; none where no format asks for them.

    Raises:
        DataError: Keras cannot load it, or it takes or gives other shapes.
    """

    def __init__(self, content: bytes, image_shape: tuple[int, int, int], classes: int, calibration: Pixels) -> None:
        self.model = load_keras(content, image_shape, classes)
        self.image_shape = image_shape
        self.calibration = calibration

    @cached_property
    def in_float32(self) -> keras.Model:
        """A copy with the same weights that computes in float32, whatever the original was trained in."""

        def in_float32(layer: keras.layers.Layer) -> keras.layers.Layer:
            return type(layer).from_config({**layer.get_config(), "dtype": "float32"})

        copy = keras.models.clone_model(self.model, clone_function=in_float32, recursive=True)
        copy.set_weights(self.model.get_weights())
        return copy

    def serving(self, dtype: tf.DType = tf.uint8) -> Any:
        """The float32 copy as a TensorFlow function from `image`, [n, height, width, channels] of a type, to `probabilities`."""
        model = self.in_float32

        def serve(image: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"probabilities": model(tf.cast(image, tf.float32), training=False)}

        return tf.function(serve, input_signature=[tf.TensorSpec([None, *self.image_shape], dtype, name="image")], autograph=False)

    def answers(self) -> Answers:
        """The model itself, in the arithmetic of its training, as a compiled function."""
        spec = tf.TensorSpec([None, *self.image_shape], tf.uint8)
        function = tf.function(lambda image: self.model(tf.cast(image, tf.float32), training=False), input_signature=[spec], autograph=False)
        return lambda pixels: np.asarray(function(tf.constant(pixels)).numpy())
