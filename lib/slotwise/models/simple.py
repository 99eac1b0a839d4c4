"""The CIFAR-10 CNN of Vitucci 2025: two convolution blocks with dropout, one hidden dense layer."""

from __future__ import annotations

import keras
from keras import layers

from slotwise.models.blocks import convolution_block
from slotwise.models.precision import output_dtype


def build(image_shape: tuple[int, int, int], classes: int, *, filters: int = 32) -> keras.Model:
    """2 x (conv 3x3, BN, ReLU, max pool, dropout 0.25), dense 128 with BN, dropout 0.5, softmax.

    The dense layer is normalised too: without it the published model stalls.

    Args:
        image_shape: (height, width, channels); pixels come as 0 to 255.
        classes: number of outputs, a softmax over them.
        filters: the first block's filters; the second has twice as many.
    """
    inputs = keras.Input(image_shape, name="image")
    x = layers.Rescaling(1 / 255)(inputs)
    for width in (filters, 2 * filters):
        x = convolution_block(x, width, 3)
        x = layers.Dropout(0.25)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(128, use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.9)(x)
    x = layers.ReLU()(x)
    x = layers.Dropout(0.5)(x)
    outputs = layers.Dense(classes, activation="softmax", dtype=output_dtype(), name="probabilities")(x)
    return keras.Model(inputs, outputs, name="simple")
