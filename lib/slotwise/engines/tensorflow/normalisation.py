"""Batch normalisation over all slots: TensorFlow's fused kernels, with two small sums over the slots between them.

Ioffe and Szegedy 2015 (https://arxiv.org/abs/1502.03167); the gradient is theirs with the sums taken over the global
batch. The fused kernels know no double precision; there the same arithmetic is written out.
"""

from __future__ import annotations

import tensorflow as tf

from slotwise.engines.tensorflow.collective import Slots

_ALL_BUT_CHANNELS = [0, 1, 2]


def normalise(
    inputs: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float, slots: Slots, present: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Normalises by the statistics of the global batch.

    Args:
        inputs: [local batch, ..., channels], float16, bfloat16, float32 or float64.
        gamma, beta: [channels], float32 (float64 for float64 inputs).
        epsilon: added to the variance.
        slots: those that share the batch; all of them call this in the same order.
        present: scalar like gamma: 1, or 0 on a slot whose inputs stand in for none and count for nothing.

    Returns:
        outputs like `inputs`; mean and (biased) variance of the global batch, [channels].
    """
    rows = tf.reshape(inputs, [-1, 1, 1, inputs.shape[-1]])
    if slots.count == 1 and rows.dtype != tf.float64:
        outputs, mean, variance, *_ = _fused(rows, gamma, beta, None, None, epsilon)
        variance = _biased(variance, _count(rows, gamma.dtype))
    else:
        outputs, mean, variance = _normalise_over_slots(rows, gamma, beta, epsilon, slots, present)
    return tf.reshape(outputs, tf.shape(inputs)), mean, variance


def _normalise_over_slots(
    x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float, slots: Slots, present: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    @tf.custom_gradient
    def function(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor):  # type: ignore[no-untyped-def]
        total, mean, variance = _global_statistics(x, slots, present)
        outputs = _apply(x, gamma, beta, mean, variance, epsilon)

        def gradient(upstream: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            local_x, local_gamma, local_beta = _gradients(upstream, x, gamma, mean, variance, epsilon)
            all_gamma, all_beta = tf.unstack(slots.sum(tf.stack([local_gamma, local_beta])))
            # The statistics depend on x too: minus gamma / std * (mean(upstream) + xhat * mean(upstream * xhat)), linear in x.
            inverse = tf.math.rsqrt(variance + tf.constant(epsilon, variance.dtype))
            slope = -present * gamma * inverse * inverse * all_gamma / total
            offset = -present * gamma * inverse * all_beta / total - slope * mean
            return local_x + x * tf.cast(slope, x.dtype) + tf.cast(offset, x.dtype), local_gamma, local_beta

        return (outputs, mean, variance), gradient

    return function(x, gamma, beta)


def _global_statistics(x: tf.Tensor, slots: Slots, present: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Rows of all slots together, and their mean and biased variance for each channel."""
    count, channels = _count(x, present.dtype), x.shape[-1]
    mean, variance = _local_statistics(x, count, present.dtype)
    count *= present
    sums = tf.math.multiply_no_nan(tf.concat([mean, variance + mean * mean], 0), count)
    sums = slots.sum(tf.concat([sums, [count]], 0))
    total = sums[-1]
    mean = sums[:channels] / total
    return total, mean, tf.maximum(sums[channels:-1] / total - mean * mean, 0.0)


def _local_statistics(x: tf.Tensor, count: tf.Tensor, dtype: tf.DType) -> tuple[tf.Tensor, tf.Tensor]:
    if x.dtype == tf.float64:
        mean = tf.reduce_mean(x, _ALL_BUT_CHANNELS)
        return mean, tf.reduce_mean(tf.math.squared_difference(x, mean), _ALL_BUT_CHANNELS)
    ones, zeros = tf.ones([x.shape[-1]], dtype), tf.zeros([x.shape[-1]], dtype)
    _, mean, variance, *_ = _fused(x, ones, zeros, None, None, 0.001)
    return mean, _biased(variance, count)


def _apply(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor, epsilon: float) -> tf.Tensor:
    if x.dtype == tf.float64:
        return tf.nn.batch_normalization(x, mean, variance, beta, gamma, tf.constant(epsilon, tf.float64))
    return _fused(x, gamma, beta, mean, variance, epsilon)[0]


def _gradients(
    upstream: tf.Tensor, x: tf.Tensor, gamma: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor, epsilon: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """This slot's gradients of inputs, gamma and beta with the statistics held fixed."""
    if x.dtype == tf.float64:
        inverse = tf.math.rsqrt(variance + tf.constant(epsilon, tf.float64))
        local_gamma = tf.reduce_sum(upstream * (x - mean), _ALL_BUT_CHANNELS) * inverse
        return upstream * (gamma * inverse), local_gamma, tf.reduce_sum(upstream, _ALL_BUT_CHANNELS)
    unused = tf.zeros([0], mean.dtype)
    gradients = tf.raw_ops.FusedBatchNormGradV3(
        y_backprop=upstream, x=x, scale=gamma, reserve_space_1=mean, reserve_space_2=variance, reserve_space_3=unused, epsilon=epsilon, is_training=False
    )  # fmt: skip
    return gradients[0], gradients[1], gradients[2]


def _fused(
    x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, mean: tf.Tensor | None, variance: tf.Tensor | None, epsilon: float
) -> tuple[tf.Tensor, ...]:
    """The fused kernel: with the given statistics, or with the batch's own where they are None."""
    none = tf.zeros([0], gamma.dtype)
    training = mean is None
    return tuple(
        tf.raw_ops.FusedBatchNormV3(
            x=x, scale=gamma, offset=beta, mean=none if training else mean, variance=none if training else variance, epsilon=epsilon, is_training=training
        )
    )  # fmt: skip


def _count(x: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    return tf.cast(tf.shape(x)[0], dtype)


def _biased(variance: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """The kernel gives the unbiased variance, for moving averages; Keras's moving averages take the biased one."""
    return variance * (tf.maximum(count, 2.0) - 1.0) / tf.maximum(count, 2.0)
