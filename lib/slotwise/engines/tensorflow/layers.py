"""Training forms of Keras layers whose result must not depend on the number of slots, swapped in for training only.

The weights are those of the standard layers, so a trained model is saved as the plain Keras model it came from.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from slotwise.engines.tensorflow.collective import Slots
from slotwise.engines.tensorflow.normalisation import normalise
from slotwise.errors import UsageError

# Keys of samples are not negative.
NO_SAMPLE = -1

_MULTIPLIERS = (0x7FEB352D, 0x846CA68B)


class SlotContext:
    """What swapped layers need of the step they are traced in: the slots, and the keys of the local samples (int64 [b]).

    A slot that has no sample in a step takes part with a stand-in, whose key is `NO_SAMPLE`: TensorFlow's oneDNN kernels
    give wrong shapes for an empty batch.
    """

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.keys: tf.Tensor | None = None

    @contextmanager
    def samples(self, keys: tf.Tensor) -> Iterator[None]:
        self.keys = keys
        try:
            yield
        finally:
            self.keys = None

    def present(self, dtype: tf.DType) -> tf.Tensor:
        """1 if this slot has samples in the step, 0 if it has a stand-in."""
        assert self.keys is not None
        return tf.cast(self.keys[0] != NO_SAMPLE, dtype)


class SlotBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation whose statistics are those of the whole global batch."""

    context: SlotContext

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: Any = None) -> tf.Tensor:
        if not (training and self.trainable):
            return super().call(inputs, training=False)
        gamma = tf.convert_to_tensor(self.gamma if self.scale else tf.ones_like(self.moving_mean))
        beta = tf.convert_to_tensor(self.beta if self.center else tf.zeros_like(self.moving_mean))
        outputs, mean, variance = normalise(
            inputs, gamma, beta, self.epsilon, self.context.slots, self.context.present(gamma.dtype)
        )
        for moving, current in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + current * (1.0 - self.momentum))
        return outputs


class SlotDropout(keras.layers.Dropout):
    """Dropout whose mask for a sample depends on the sample's key and this layer only, not on the batch around it."""

    context: SlotContext
    number: int

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        if not training or self.rate == 0:
            return inputs
        assert self.context.keys is not None
        kept = _keep_mask(self.context.keys, inputs.shape[1:], self.rate, self.number)
        return inputs * (tf.cast(kept, inputs.dtype) * tf.constant(1.0 / (1.0 - self.rate), inputs.dtype))


def training_copy(model: keras.Model, slots: Slots) -> tuple[keras.Model, SlotContext]:
    """A copy of a plain model for training on slots, with its final softmax left off (it gives logits).

    `copy.get_weights()` and `model.set_weights()` have the same order.

    Raises:
        UsageError: the model does not end in a softmax, normalises over another axis than the last, or has a layer that
            draws random numbers of its own, which would depend on the slots.
    """
    context = SlotContext(slots)
    last = _softmax_end(model)
    count = 0

    def swap(layer: keras.layers.Layer) -> keras.layers.Layer:
        nonlocal count
        config = layer.get_config()
        if layer is last:
            return type(layer).from_config({**config, "activation": "linear"})
        if type(layer) is keras.layers.BatchNormalization:
            if layer.axis not in (-1, layer.input_spec.ndim - 1):
                raise UsageError("Only batch normalisation over the last axis is supported", received=f"axis={layer.axis} in {layer.name}", accepted="axis=-1")
            swapped: Any = SlotBatchNormalization.from_config(config)
        elif type(layer) is keras.layers.Dropout:
            swapped = SlotDropout.from_config(config)
            swapped.number = count = count + 1
        elif _draws_at_random(layer):
            raise UsageError(
                "A layer that draws random numbers would draw others on each slot", received=f"{layer.name} ({type(layer).__name__})", accepted="Dropout; changes of images by --augment"
            )
        else:
            return type(layer).from_config(config)
        swapped.context = context
        return swapped

    copy = keras.models.clone_model(model, clone_function=swap, recursive=True)
    copy.set_weights(model.get_weights())
    return copy, context


def _draws_at_random(layer: keras.layers.Layer) -> bool:
    return any(isinstance(value, keras.random.SeedGenerator) for value in vars(layer).values())


def _softmax_end(model: keras.Model) -> keras.layers.Layer:
    last = model.layers[-1]
    if getattr(last, "activation", None) is not keras.activations.softmax:
        raise UsageError("A model has to end in a softmax", received=f"last layer {last.name} ({type(last).__name__})", accepted="a last layer with activation='softmax'")
    return last


def _keep_mask(keys: tf.Tensor, shape: tf.TensorShape, rate: float, layer: int) -> tf.Tensor:
    """Which values to keep: bool [b, *shape], each true with probability 1 - rate.

    A counter-based generator: a multiplicative hash of (sample key, layer, place in the sample).
    """
    words = tf.bitcast(keys, tf.uint32)
    sample = _mix(words[:, 0] ^ _mix(words[:, 1] + tf.constant(layer * 0x9E3779B9 & 0xFFFFFFFF, tf.uint32)))
    place = _mix(tf.range(1, shape.num_elements() + 1, dtype=tf.int32))
    bits = _mix(sample[:, None] ^ place[None, :])
    kept = bits >= tf.constant(int(rate * 2**32), tf.uint32)
    return tf.reshape(kept, [-1, *shape])


def _mix(bits: tf.Tensor) -> tf.Tensor:
    bits = tf.bitcast(bits, tf.uint32)
    for multiplier in _MULTIPLIERS:
        bits = (bits ^ tf.bitwise.right_shift(bits, tf.constant(15, tf.uint32))) * tf.constant(multiplier, tf.uint32)
    return bits ^ tf.bitwise.right_shift(bits, tf.constant(16, tf.uint32))
