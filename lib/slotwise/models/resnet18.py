"""ResNet-18 (He et al. 2015, https://arxiv.org/abs/1512.03385), with the stem that fits the images."""

from __future__ import annotations

import keras
from keras import layers

from slotwise.models.precision import output_dtype

# Below this the ImageNet stem, which divides height and width by four, leaves too little; section 4.2 of the paper has a plain one.
_SMALLEST_FOR_IMAGENET_STEM = 64


def build(image_shape: tuple[int, int, int], classes: int, *, filters: int = 64, resize: int = 0, l2: float = 1e-4) -> keras.Model:
    """Stem, four stages of two basic blocks with f, 2f, 4f and 8f filters, global average, softmax.

    Images of 64 pixels and more get the ImageNet stem (7x7 with stride 2, max pooling), smaller ones a 3x3 convolution.

    Args:
        image_shape: (height, width, channels); pixels come as 0 to 255.
        classes: number of outputs, a softmax over them.
        filters: f, those of the stem and the first stage.
        resize: height and width that images are brought to first, 224 in the published work; 0 leaves them.
        l2: weight decay of convolution and dense kernels.
    """
    decay = keras.regularizers.L2(l2) if l2 else None
    inputs = keras.Input(image_shape, name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(inputs)
    if resize:
        x = layers.Resizing(resize, resize)(x)
    if min(x.shape[1:3]) >= _SMALLEST_FOR_IMAGENET_STEM:
        x = layers.MaxPooling2D(3, 2, padding="same")(_normalised(x, filters, 7, 2, decay))
    else:
        x = _normalised(x, filters, 3, 1, decay)
    x = layers.ReLU()(x)
    for stage, width in enumerate((filters, 2 * filters, 4 * filters, 8 * filters)):
        x = _block(x, width, 2 if stage else 1, decay)
        x = _block(x, width, 1, decay)
    x = layers.GlobalAveragePooling2D()(x)
    outputs = layers.Dense(classes, activation="softmax", kernel_regularizer=decay, dtype=output_dtype(), name="probabilities")(x)
    return keras.Model(inputs, outputs, name="resnet18")


def _block(x: keras.KerasTensor, filters: int, stride: int, decay: keras.Regularizer | None) -> keras.KerasTensor:
    """The basic block: two 3x3 convolutions beside a shortcut, which is projected where the shape changes."""
    shortcut = x if stride == 1 and x.shape[-1] == filters else _normalised(x, filters, 1, stride, decay)
    x = layers.ReLU()(_normalised(x, filters, 3, stride, decay))
    x = _normalised(x, filters, 3, 1, decay)
    return layers.ReLU()(layers.Add()([x, shortcut]))


def _normalised(x: keras.KerasTensor, filters: int, kernel: int, stride: int, decay: keras.Regularizer | None) -> keras.KerasTensor:
    x = layers.Conv2D(filters, kernel, stride, padding="same", use_bias=False, kernel_initializer="he_normal", kernel_regularizer=decay)(x)
    return layers.BatchNormalization(momentum=0.9)(x)
