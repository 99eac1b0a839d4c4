"""Keras layers in the form in which TensorFlow trains them: their result does not depend on the number of slots."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from slotwise.engines import arithmetic
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
    """Batch normalisation whose statistics are those of the whole global batch, with the max pooling that follows it.

    Where it `gives_float32`, outputs of 16 bits are rounded as ever, and kept in float32.
    """

    context: SlotContext
    pooling: Pooling | None = None
    gives_float32 = False

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return self.pooling.output_shape(input_shape) if self.pooling else input_shape

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: Any = None) -> tf.Tensor:
        dtype = tf.as_dtype(self.compute_dtype)
        kept_in = tf.float32 if self.gives_float32 else dtype
        if not (training and self.trainable):
            return tf.cast(pooled(super().call(inputs, training=False), self.pooling), kept_in)
        gamma = tf.convert_to_tensor(self.gamma if self.scale else tf.ones_like(self.moving_mean))
        beta = tf.convert_to_tensor(self.beta if self.center else tf.zeros_like(self.moving_mean))
        outputs, mean, variance = normalise(
            inputs, gamma, beta, self.epsilon, self.context.slots, presence(self.context, gamma.dtype), self.pooling,
            rounded_to=dtype, kept_in=kept_in,
        )  # fmt: skip
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


class WideningConv2D(keras.layers.Conv2D):
    """A convolution that makes float32 of 16-bit numbers first, where this machine multiplies those faster.

    Their products are exact in float32, and instructions for 16 bits add them up in float32 too, so that only the order of additions differs.
    Where it `gives_float32`, these sums are not rounded to 16 bits.
    """

    gives_float32 = False

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        self._widens = arithmetic.is_slow(self.compute_dtype)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        outputs = super().call(inputs)
        return outputs if self.gives_float32 else tf.cast(outputs, self.compute_dtype)

    def convolution_op(self, inputs: tf.Tensor, kernel: Any) -> tf.Tensor:
        if self._widens:
            inputs, kernel = tf.cast(inputs, tf.float32), tf.cast(tf.cast(kernel, self.compute_dtype), tf.float32)
        return super().convolution_op(inputs, kernel)


FORMS: Forms = {keras.layers.BatchNormalization: SlotBatchNormalization, keras.layers.Conv2D: WideningConv2D, keras.layers.Dropout: SlotDropout}


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
