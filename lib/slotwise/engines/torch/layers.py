"""Keras layers in the form in which PyTorch trains them: exact over slots, and on PyTorch's own kernels in their fastest layout.

Keras copies images into another layout before each of its convolutions and poolings on PyTorch, which takes more than half of
a step; these keep the layout [b, height, width, channels], whose permuted view PyTorch knows as `channels_last`.
"""

from __future__ import annotations

from typing import Any

import keras
import torch
from torch.nn import functional

from slotwise.engines import arithmetic
from slotwise.engines.engine import Forms
from slotwise.engines.torch.normalisation import by_channel, normalise
from slotwise.engines.training_copy import HASH_MULTIPLIERS, SlotContext
from slotwise.feed.pipeline import NO_SAMPLE


class SlotBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation whose statistics are those of the whole global batch."""

    context: SlotContext

    def call(self, inputs: torch.Tensor, training: bool | None = None, mask: Any = None) -> torch.Tensor:
        moving_mean, moving_variance = self.moving_mean.value, self.moving_variance.value
        gamma = self.gamma.value if self.scale else torch.ones_like(moving_mean)
        beta = self.beta.value if self.center else torch.zeros_like(moving_mean)
        if not (training and self.trainable):
            outputs = functional.batch_norm(by_channel(inputs), moving_mean, moving_variance, gamma, beta, training=False, eps=self.epsilon)
            return outputs.permute(0, 2, 3, 1).reshape(inputs.shape)
        outputs, mean, variance = normalise(inputs, gamma, beta, self.epsilon, self.context.slots, int(self.context.keys[0]) != NO_SAMPLE)
        with torch.no_grad():
            for moving, current in ((moving_mean, mean), (moving_variance, variance)):
                moving.mul_(self.momentum).add_(current, alpha=1.0 - self.momentum)
        return outputs


class SlotDropout(keras.layers.Dropout):
    """Dropout whose mask for a sample depends on the sample's key and this layer only, not on the batch around it."""

    context: SlotContext
    number: int

    def call(self, inputs: torch.Tensor, training: bool = False) -> torch.Tensor:
        if not training or self.rate == 0:
            return inputs
        kept = keep_mask(self.context.keys.to(inputs.device), inputs.shape[1:], self.rate, self.number)
        return inputs * (kept.to(inputs.dtype) * (1.0 / (1.0 - self.rate)))


class ChannelsLastConv2D(keras.layers.Conv2D):
    """A convolution on PyTorch's own kernel, without copies; like the TensorFlow engine's it computes in float32 where that is faster."""

    def convolution_op(self, inputs: torch.Tensor, kernel: Any) -> torch.Tensor:
        if self.data_format != "channels_last":
            return super().convolution_op(inputs, kernel)
        image = inputs.permute(0, 3, 1, 2)
        padding = [0, 0]
        if self.padding == "same":
            around = [_padding(*sides) for sides in zip(image.shape[2:], self.kernel_size, self.strides, self.dilation_rate, strict=True)]
            padding = [before for before, _ in around]
            if any(before != after for before, after in around):
                (top, bottom), (left, right) = around
                image, padding = functional.pad(image, (left, right, top, bottom)), [0, 0]
        weights = keras.ops.convert_to_tensor(kernel).permute(3, 2, 0, 1)
        if arithmetic.is_slow(self.compute_dtype):
            image, weights = image.float(), weights.float()
        outputs = functional.conv2d(image, weights, None, self.strides, padding, self.dilation_rate, self.groups).permute(0, 2, 3, 1)
        return outputs.to(inputs.dtype)


class ChannelsLastMaxPooling2D(keras.layers.MaxPooling2D):
    """A pooling on PyTorch's own kernel, without copies."""

    def call(self, inputs: torch.Tensor) -> torch.Tensor:
        if self.data_format != "channels_last":
            return super().call(inputs)
        image = inputs.permute(0, 3, 1, 2)
        if self.padding == "same":
            (top, bottom), (left, right) = (_padding(*sides, 1) for sides in zip(image.shape[2:], self.pool_size, self.strides, strict=True))
            image = functional.pad(image, (left, right, top, bottom), value=-torch.inf)
        return functional.max_pool2d(image, self.pool_size, self.strides).permute(0, 2, 3, 1)


FORMS: Forms = {
    keras.layers.BatchNormalization: SlotBatchNormalization,
    keras.layers.Conv2D: ChannelsLastConv2D,
    keras.layers.Dropout: SlotDropout,
    keras.layers.MaxPooling2D: ChannelsLastMaxPooling2D,
}


def _padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Rows before and after an image of `size` so that the output has one for each stride begun."""
    missing = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return missing // 2, missing - missing // 2


def keep_mask(keys: torch.Tensor, shape: torch.Size, rate: float, layer: int) -> torch.Tensor:
    """Which values to keep: bool [b, *shape], each true with probability 1 - rate; the same as the TensorFlow engine's.

    A counter-based generator: a multiplicative hash of (sample key, layer, place in the sample).
    """
    words = keys.view(torch.int32).reshape(-1, 2)
    sample = _mix(words[:, 0] ^ _mix(words[:, 1] + _signed(layer * 0x9E3779B9 & 0xFFFFFFFF)))
    place = _mix(torch.arange(1, shape.numel() + 1, dtype=torch.int32, device=keys.device))
    bits = _mix(sample[:, None] ^ place[None, :])
    # PyTorch compares signed numbers only: both sides move by half the range.
    kept = (bits ^ _signed(1 << 31)) >= int(rate * 2**32) - (1 << 31)
    return kept.reshape(-1, *shape)


def _mix(bits: torch.Tensor) -> torch.Tensor:
    for multiplier in HASH_MULTIPLIERS:
        bits = (bits ^ _shifted(bits, 15)) * _signed(multiplier)
    return bits ^ _shifted(bits, 16)


def _shifted(bits: torch.Tensor, places: int) -> torch.Tensor:
    """Bits of an int32 moved right, with zeros moved in."""
    return (bits >> places) & ((1 << 32 - places) - 1)


def _signed(word: int) -> int:
    """An unsigned 32-bit number as the signed one with the same bits."""
    return word - (1 << 32) if word >> 31 else word
