"""The leaf CNN after the PyTorch-TensorFlow comparison of Praveen et al.: a plain sequential CNN."""

from __future__ import annotations

import keras
from keras import layers

from slotwise.models.blocks import convolution_block
from slotwise.models.precision import output_dtype


def build(image_shape: tuple[int, int, int], classes: int, *, filters: int = 32, hidden: int = 128, dropout: float = 0.5) -> keras.Model:
    """4 x (conv 3x3, BN, ReLU, max pool) with f, 2f, 4f and 4f filters, one hidden dense layer with dropout, softmax.

    The work calls its model a sequential CNN and gives no layers, so these are ours.

    Args:
        image_shape: (height, width, channels); pixels come as 0 to 255.
        classes: number of outputs, a softmax over them.
        filters: f, the first block's filters.
        hidden: units of the hidden dense layer.
        dropout: share of the hidden layer's values that a training step leaves out.
    """
    inputs = keras.Input(image_shape, name="image")
    x = layers.Rescaling(1 / 255)(inputs)
    for width in (filters, 2 * filters, 4 * filters, 4 * filters):
        x = convolution_block(x, width, 3)
    x = layers.Flatten()(x)
    x = layers.Dense(hidden, use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.9)(x)
    x = layers.ReLU()(x)
    x = layers.Dropout(dropout)(x)
    outputs = layers.Dense(classes, activation="softmax", dtype=output_dtype(), name="probabilities")(x)
    return keras.Model(inputs, outputs, name="leaf")
