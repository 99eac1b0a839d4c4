"""Batch normalisation over all slots: TensorFlow's fused kernels, with two small sums over the slots between them.

Ioffe and Szegedy 2015 (https://arxiv.org/abs/1502.03167); the gradient is theirs with the sums taken over the global
batch. The fused kernels know no double precision; there the same arithmetic is written out.
"""

from __future__ import annotations

import tensorflow as tf

from slotwise.engines.tensorflow.collective import Slots


def normalise(
    inputs: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float, slots: Slots
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Normalises by the statistics of the global batch.

    Args:
        inputs: [local batch, ..., channels], float16, bfloat16, float32 or float64.
        gamma, beta: [channels], float32 (float64 for float64 inputs).
        epsilon: added to the variance.
        slots: those that share the batch; all of them call this in the same order.

    Returns:
        outputs like `inputs`; mean and (biased) variance of the global batch, [channels].
    """
    rows = tf.reshape(inputs, [-1, 1, 1, inputs.shape[-1]])
    outputs, mean, variance = _normalise_rows(rows, gamma, beta, epsilon, slots)
    return tf.reshape(outputs, tf.shape(inputs)), mean, variance


def _normalise_rows(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float, slots: Slots) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    @tf.custom_gradient
    def function(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor):  # type: ignore[no-untyped-def]
        count = tf.cast(tf.shape(x)[0], gamma.dtype)
        total, mean, variance = _global_statistics(x, count, slots, gamma.dtype)
        inverse = tf.math.rsqrt(variance + tf.constant(epsilon, variance.dtype))
        scale = gamma * inverse
        outputs = x * tf.cast(scale, x.dtype) + tf.cast(beta - mean * scale, x.dtype)

        def gradient(upstream: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            local_gamma, local_beta = _weight_gradients(upstream, x, mean, inverse)
            all_gamma, all_beta = tf.unstack(slots.sum(tf.stack([local_gamma, local_beta])))
            # d loss / d x = scale * (upstream - mean(upstream) - xhat * mean(upstream * xhat)), xhat = (x - mean) * inverse
            slope = -scale * inverse * all_gamma / total
            offset = -scale * all_beta / total - slope * mean
            return upstream * tf.cast(scale, x.dtype) + x * tf.cast(slope, x.dtype) + tf.cast(offset, x.dtype), local_gamma, local_beta

        return (outputs, mean, variance), gradient

    return function(x, gamma, beta)


def _global_statistics(x: tf.Tensor, count: tf.Tensor, slots: Slots, dtype: tf.DType) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Rows of all slots together, and their mean and biased variance for each channel."""
    mean, variance = _local_statistics(x, count, dtype)
    if slots.count == 1:
        return count, mean, variance
    channels = x.shape[-1]
    # A slot without samples in the last step has no statistics, only a count of 0.
    sums = tf.math.multiply_no_nan(tf.concat([mean, variance + mean * mean], 0), count)
    sums = slots.sum(tf.concat([sums, [count]], 0))
    total = sums[-1]
    mean = sums[:channels] / total
    return total, mean, tf.maximum(sums[channels:-1] / total - mean * mean, 0.0)


def _local_statistics(x: tf.Tensor, count: tf.Tensor, dtype: tf.DType) -> tuple[tf.Tensor, tf.Tensor]:
    if x.dtype == tf.float64:
        mean = tf.reduce_mean(x, [0, 1, 2])
        return mean, tf.reduce_mean(tf.math.squared_difference(x, mean), [0, 1, 2])
    channels = x.shape[-1]
    _, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=tf.ones([channels], dtype), offset=tf.zeros([channels], dtype), mean=tf.zeros([0], dtype), variance=tf.zeros([0], dtype), epsilon=0.001, is_training=True
    )
    # The kernel gives the unbiased variance, for moving averages.
    return mean, variance * (tf.maximum(count, 2.0) - 1.0) / tf.maximum(count, 2.0)


def _weight_gradients(upstream: tf.Tensor, x: tf.Tensor, mean: tf.Tensor, inverse: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """This slot's part of the gradients of gamma and beta, [channels] each."""
    if x.dtype == tf.float64:
        return tf.reduce_sum(upstream * (x - mean), [0, 1, 2]) * inverse, tf.reduce_sum(upstream, [0, 1, 2])
    _, gamma, beta, *_ = tf.raw_ops.FusedBatchNormGradV3(
        y_backprop=upstream, x=x, scale=tf.ones_like(mean), reserve_space_1=mean, reserve_space_2=tf.math.reciprocal(inverse * inverse), reserve_space_3=tf.zeros([0], mean.dtype), epsilon=0.0, is_training=False
    )
    return gamma, beta
