"""What the models are built of."""

from __future__ import annotations

import keras
from keras import layers


def convolution_block(x: keras.KerasTensor, filters: int, kernel: int, regularizer: keras.Regularizer | None = None) -> keras.KerasTensor:
    """Convolution, batch normalisation, 2x2 max pooling, ReLU: [b, h, w, c] to [b, h // 2, w // 2, filters]."""
    # No bias: the normalisation after it subtracts it again, and Adam would turn its rounding noise into full steps.
    x = layers.Conv2D(filters, kernel, padding="same", use_bias=False, kernel_regularizer=regularizer)(x)
    x = layers.BatchNormalization(momentum=0.9)(x)
    # Pooling before the ReLU gives the same values, a maximum commutes with it, and leaves it a quarter of the work.
    x = layers.MaxPooling2D()(x)
    return layers.ReLU()(x)
