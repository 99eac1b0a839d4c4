"""The book-cover CNN of Mazzon 2025: four convolution blocks, two hidden dense layers."""

from __future__ import annotations

import keras
from keras import layers

from slotwise.models.blocks import convolution_block
from slotwise.models.precision import output_dtype


def build(image_shape: tuple[int, int, int], classes: int, *, filters: int = 32, l2: float = 1e-4) -> keras.Model:
    """4 x (conv 3x3, BN, ReLU, max pool) with f, f+16, f+32, f+48 filters; flatten and dense layers with dropout.

    Args:
        image_shape: (height, width, channels); pixels come as 0 to 255.
        classes: number of outputs, a softmax over them.
        filters: f, the first block's filters.
        l2: weight decay of convolution and dense kernels.
    """
    decay = keras.regularizers.L2(l2)
    inputs = keras.Input(image_shape, name="image")
    x = layers.Rescaling(1 / 255)(inputs)
    for width in (filters, filters + 16, filters + 32, filters + 48):
        x = convolution_block(x, width, 3, decay)
    x = layers.Flatten()(x)
    for width, rate in ((128, 0.3), (64, 0.3)):
        x = layers.Dropout(rate)(x)
        x = layers.Dense(width, activation="relu", kernel_regularizer=decay)(x)
    x = layers.Dropout(0.3)(x)
    outputs = layers.Dense(classes, activation="softmax", kernel_regularizer=decay, dtype=output_dtype(), name="probabilities")(x)
    return keras.Model(inputs, outputs, name="covers")

