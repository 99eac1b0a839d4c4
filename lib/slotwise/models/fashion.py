"""The Fashion-MNIST CNN of the Orca study: two convolution blocks with 5x5 kernels, one hidden dense layer."""

from __future__ import annotations

import keras
from keras import layers

from slotwise.models.blocks import convolution_block
from slotwise.models.precision import output_dtype


def build(image_shape: tuple[int, int, int], classes: int, *, filters: int = 16, hidden: int = 128) -> keras.Model:
    """2 x (conv 5x5, BN, ReLU, max pool) with f and 2f filters, one hidden dense layer with dropout, softmax.

    Args:
        image_shape: (height, width, channels); pixels come as 0 to 255.
        classes: number of outputs, a softmax over them.
        filters: f, the first block's filters.
        hidden: units of the hidden dense layer.
    """
    inputs = keras.Input(image_shape, name="image")
    x = layers.Rescaling(1 / 255)(inputs)
    for width in (filters, 2 * filters):
        x = convolution_block(x, width, 5)
    x = layers.Flatten()(x)
    x = layers.Dense(hidden, activation="relu")(x)
    x = layers.Dropout(0.3)(x)
    outputs = layers.Dense(classes, activation="softmax", dtype=output_dtype(), name="probabilities")(x)
    return keras.Model(inputs, outputs, name="fashion")
