"""Batch normalisation over all slots: a few passes over the images, with two small sums over the slots between them.

Ioffe and Szegedy 2015 (https://arxiv.org/abs/1502.03167); the gradient is theirs with the sums taken over the global
batch. XLA makes one loop of each pass over large images. TensorFlow's fused kernels have the statistics of one slot alone, and
need two more passes as soon as they are those of several.

A max pooling that follows comes before the scaling, for normalising is increasing in each channel (decreasing where gamma
is negative, so its sign goes along), which a maximum does not mind. What comes after the pooling, on the way back too,
works on a quarter of the values then, and the pooling itself does not wait for the sums of the slots.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from slotwise.engines.tensorflow.collective import Slots
from slotwise.engines.tensorflow.compiled import compiled, is_worth_compiling, one_loop
from slotwise.engines.training_copy import Pooling

# Values of one sample: XLA takes a tenth of a second for a loop, which layers of this size give back in some hundred steps; half of it
# would gain a small model 4 % more, and cost the start of a large one half a second for nothing.
_WORTH_COMPILING = 1 << 14

# Rows that are added up in one turn of a loop: from 16 on the loop's code is twice as fast, and it grows with them. A block of half a
# megabyte in single precision stays in the cache from the one sum to the other, and a turn costs too much for a tiny one.
_BLOCK_ROWS = range(16, 33)
_BLOCK_VALUES = range(1 << 13, (1 << 17) + 1)


def normalise(
    inputs: tf.Tensor,
    gamma: tf.Tensor,
    beta: tf.Tensor,
    epsilon: float,
    slots: Slots,
    present: tf.Tensor,
    pooling: Pooling | None = None,
    rounded_to: tf.DType | None = None,
    kept_in: tf.DType | None = None,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Normalises by the statistics of the global batch.

    Args:
        inputs: [local batch, ..., channels], float16, bfloat16, float32 or float64.
        gamma, beta: [channels], float32 (float64 for float64 inputs).
        epsilon: added to the variance.
        slots: those that share the batch; all of them call this in the same order.
        present: scalar like gamma: 1, or 0 on a slot whose inputs stand in for none and count for nothing.
        pooling: what is done to the outputs, for inputs [local batch, height, width, channels].
        rounded_to: the dtype that the outputs have no more digits than; the inputs' own if not said.
        kept_in: the dtype of the outputs; if not said, the one that they are rounded to.

    Returns:
        outputs, of the inputs' shape or pooled; mean and (biased) variance of the global batch, [channels].
    """

    rounded_to = rounded_to or inputs.dtype
    kept_in = kept_in or rounded_to

    @tf.custom_gradient
    def function(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor):  # type: ignore[no-untyped-def]
        sign = tf.where(gamma < 0, -tf.ones_like(gamma), tf.ones_like(gamma)) if pooling else tf.ones_like(gamma)
        signed = _with_sign(x, sign) if pooling else x
        maxima = pooled(signed, pooling)
        total, mean, variance = global_statistics(x, slots, present)
        inverse = tf.math.rsqrt(variance + tf.constant(epsilon, variance.dtype))
        outputs = _linear(maxima, sign * gamma * inverse, beta - gamma * inverse * mean, rounded_to, kept_in)

        def gradient(upstream: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            local_beta, with_maxima = _two_sums(_gradient_terms, sign * mean, upstream, maxima)
            local_gamma = with_maxima * sign * inverse
            all_gamma, all_beta = tf.unstack(slots.sum(tf.stack([local_gamma, local_beta])))
            # The statistics depend on x too: minus gamma / std * (mean(upstream) + xhat * mean(upstream * xhat)), linear in x.
            slope = -present * gamma * inverse * inverse * all_gamma / total
            offset = -present * gamma * inverse * all_beta / total - slope * mean
            direct = _pooled_gradient(upstream, signed, maxima, pooling)
            return _input_gradient(direct, x, gamma * inverse, slope, offset), local_gamma, local_beta

        return (outputs, mean, variance), gradient

    return function(inputs, gamma, beta)


def global_statistics(x: tf.Tensor, slots: Slots, present: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Rows of all slots together, and their mean and biased variance for each channel."""
    channels, dtype = x.shape[-1], present.dtype
    # Differences to about the mean, and then double precision, so that a variance much smaller than the mean is not lost to rounding.
    near = tf.reduce_mean(tf.reshape(tf.cast(x[0], dtype), [-1, channels]), 0)
    off, squares = (tf.cast(total, tf.float64) for total in _two_sums(_statistics_terms, near, x))
    count, near = tf.cast(tf.reduce_prod(tf.shape(x)[:-1]), tf.float64), tf.cast(near, tf.float64)
    local = tf.concat([off + count * near, squares + near * (2.0 * off + count * near), [count]], 0)
    sums = slots.sum(tf.math.multiply_no_nan(local, tf.cast(present, tf.float64)))
    total = sums[-1]
    mean = sums[:channels] / total
    variance = tf.maximum(sums[channels:-1] / total - mean * mean, 0.0)
    return tf.cast(total, dtype), tf.cast(mean, dtype), tf.cast(variance, dtype)


def _with_sign(x: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    """x * sign; most models have no negative gamma, ever, and then x as it is."""
    return tf.cond(tf.reduce_any(sign < 0), lambda: x * tf.cast(sign, x.dtype), lambda: x)


def _in_rows(x: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """[rows, width, channels]: sums over the first axis are quick, and short enough to round little."""
    width = x.shape[-2] if x.shape.rank > 2 else 1
    return tf.cast(tf.reshape(x, [-1, width, x.shape[-1]]), dtype)


Terms = Callable[..., tuple[tf.Tensor, tf.Tensor]]


def _two_sums(terms: Terms, near: tf.Tensor, *images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Sums, [channels], of two terms that are functions of images [samples, ..., channels] and of `near` [channels]."""
    sums = compiled(_sums_in_blocks) if is_worth_compiling(images[0], _WORTH_COMPILING) else _sums_of_rows
    # A tape would have a loop keep all its values; the gradient here is written out.
    first, second = sums(terms, *(tf.stop_gradient(value) for value in (near, *images)))
    return tf.reduce_sum(first, 0), tf.reduce_sum(second, 0)


def _sums_of_rows(terms: Terms, near: tf.Tensor, *images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """What is left to add up for `_two_sums`, [width, channels]."""
    first, second = terms(*(_in_rows(image, near.dtype) for image in images), near)
    return tf.reduce_sum(first, 0), tf.reduce_sum(second, 0)


def _sums_in_blocks(terms: Terms, near: tf.Tensor, *images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The same by a loop over blocks that stay in the processor's cache, at the speed of the memory: a sum over an axis, which XLA makes of
    `_sums_of_rows`, takes four times as long. It does not pay for float16, which XLA widens one by one in such a loop.
    """
    channels = images[0].shape[-1]
    shape = block_shape(images[0].shape[1:-1].num_elements(), channels)
    if shape is None or any(image.dtype not in (near.dtype, tf.bfloat16) for image in images):
        return _sums_of_rows(terms, near, *images)
    rows, width = shape
    blocks = [_bits(tf.reshape(image, [-1, rows, width, channels])) for image in images]

    def add(number: tf.Tensor, *so_far: tf.Tensor) -> tuple[tf.Tensor, ...]:
        each = zip(*(terms(*(_widened(block[number, row]) for block in blocks), near) for row in range(rows)), strict=True)
        return (number + 1, *(tf.add_n([before, *values]) for before, values in zip(so_far, each, strict=True)))

    zeros = tf.zeros([width, channels], near.dtype)
    number = tf.shape(blocks[0])[0]
    _, first, second = tf.while_loop(lambda at, *_: at < number, add, [0, zeros, zeros])
    return first, second


def _bits(x: tf.Tensor) -> tf.Tensor:
    """Of bfloat16 its bits, outside of a loop that widens them; other numbers as they are."""
    return tf.bitcast(x, tf.uint16) if x.dtype == tf.bfloat16 else x


def _widened(x: tf.Tensor) -> tf.Tensor:
    """float32 of the bits of bfloat16, which are its upper half: XLA's own cast takes one after the other, and three times as long for the whole loop."""
    return tf.bitcast(tf.bitwise.left_shift(tf.cast(x, tf.uint32), tf.constant(16, tf.uint32)), tf.float32) if x.dtype == tf.uint16 else x


def block_shape(positions: int, channels: int) -> tuple[int, int] | None:
    """Rows and their width, for equal blocks of a sample's positions; None where none has a size that is worth it.

    >>> block_shape(150 * 100, 32)
    (20, 150)
    >>> block_shape(61 * 61, 9) is None
    True
    """
    for rows in _BLOCK_ROWS:
        widths = [width for width in range(1, positions // rows + 1) if positions % (rows * width) == 0 and rows * width * channels in _BLOCK_VALUES]
        if widths:
            return rows, max(widths)
    return None


def _statistics_terms(x: tf.Tensor, near: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    off = x - near
    return off, off * off


def _gradient_terms(upstream: tf.Tensor, x: tf.Tensor, mean: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return upstream, upstream * (x - mean)


@one_loop(_WORTH_COMPILING)
def _linear(x: tf.Tensor, slope: tf.Tensor, offset: tf.Tensor, rounded_to: tf.DType, kept_in: tf.DType) -> tf.Tensor:
    return tf.cast(tf.cast(tf.cast(x, slope.dtype) * slope + offset, rounded_to), kept_in)


@one_loop(_WORTH_COMPILING)
def _input_gradient(upstream: tf.Tensor, x: tf.Tensor, scale: tf.Tensor, slope: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.cast(upstream, scale.dtype) * scale + tf.cast(x, scale.dtype) * slope + offset, x.dtype)


def pooled(x: tf.Tensor, pooling: Pooling | None) -> tf.Tensor:
    """Images after a pooling, if there is one."""
    return tf.nn.max_pool2d(x, pooling.size, pooling.strides, pooling.padding.upper()) if pooling else x


def _pooled_gradient(upstream: tf.Tensor, x: tf.Tensor, maxima: tf.Tensor, pooling: Pooling | None) -> tf.Tensor:
    """The gradient of x, from that of its maxima."""
    if pooling is None:
        return upstream
    return tf.raw_ops.MaxPoolGrad(
        orig_input=x, orig_output=maxima, grad=tf.cast(upstream, x.dtype), ksize=[1, *pooling.size, 1], strides=[1, *pooling.strides, 1], padding=pooling.padding.upper()
    )  # fmt: skip
