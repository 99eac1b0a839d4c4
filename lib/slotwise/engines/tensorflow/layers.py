"""Keras layers in the form in which TensorFlow trains them: their result does not depend on the number of slots."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from slotwise.engines.engine import Forms
from slotwise.engines.tensorflow.compiled import one_loop
from slotwise.engines.tensorflow.normalisation import normalise, pooled
from slotwise.engines.training_copy import HASH_MULTIPLIERS, Pooling, SlotContext
from slotwise.feed.pipeline import NO_SAMPLE

# Values of one sample: a mask takes a dozen passes.
_WORTH_COMPILING = 1 << 12


def presence(context: SlotContext, dtype: tf.DType) -> tf.Tensor:
    """1 if this slot has samples in the step, 0 if it has a stand-in."""
    return tf.cast(context.keys[0] != NO_SAMPLE, dtype)


class SlotBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation whose statistics are those of the whole global batch, with the max pooling that follows it."""

    context: SlotContext
    pooling: Pooling | None = None

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return self.pooling.output_shape(input_shape) if self.pooling else input_shape

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: Any = None) -> tf.Tensor:
        if not (training and self.trainable):
            return pooled(super().call(inputs, training=False), self.pooling)
        gamma = tf.convert_to_tensor(self.gamma if self.scale else tf.ones_like(self.moving_mean))
        beta = tf.convert_to_tensor(self.beta if self.center else tf.zeros_like(self.moving_mean))
        outputs, mean, variance = normalise(
            inputs, gamma, beta, self.epsilon, self.context.slots, presence(self.context, gamma.dtype), self.pooling
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
        keys = self.context.keys

        def dropped(values: tf.Tensor) -> tf.Tensor:
            return _drop(values, keys, self.rate, self.number)

        # Linear, so the gradient goes through the same mask, which is sooner drawn again than kept.
        return tf.custom_gradient(lambda values: (dropped(values), dropped))(inputs)


FORMS: Forms = {keras.layers.BatchNormalization: SlotBatchNormalization, keras.layers.Dropout: SlotDropout}


@one_loop(_WORTH_COMPILING)
def _drop(x: tf.Tensor, keys: tf.Tensor, rate: float, layer: int) -> tf.Tensor:
    """Values [b, ...] of samples with these keys [b], each 0 with probability `rate` and else so much larger that its mean stays."""
    return x * (tf.cast(_keep_mask(keys, x.shape[1:], rate, layer), x.dtype) * tf.constant(1.0 / (1.0 - rate), x.dtype))


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
    for multiplier in HASH_MULTIPLIERS:
        bits = (bits ^ tf.bitwise.right_shift(bits, tf.constant(15, tf.uint32))) * tf.constant(multiplier, tf.uint32)
    return bits ^ tf.bitwise.right_shift(bits, tf.constant(16, tf.uint32))
