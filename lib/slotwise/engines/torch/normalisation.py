"""Batch normalisation over all slots: PyTorch's native kernels, with two small sums over the slots between them.

Ioffe and Szegedy 2015 (https://arxiv.org/abs/1502.03167); the gradient is theirs with the sums taken over the global batch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from slotwise.engines.torch.collective import Slots


def normalise(
    inputs: torch.Tensor, gamma: torch.Tensor, beta: torch.Tensor, epsilon: float, slots: Slots, present: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Normalises by the statistics of the global batch.

    Args:
        inputs: [local batch, ..., channels], bfloat16, float32 or float64.
        gamma, beta: [channels], float32 (float64 for float64 inputs).
        epsilon: added to the variance.
        slots: those that share the batch; all of them call this in the same order.
        present: whether this slot's inputs count; if not they stand in for none.

    Returns:
        outputs like `inputs`; mean and (biased) variance of the global batch, [channels].
    """
    outputs, mean, variance = _Normalisation.apply(by_channel(inputs), gamma, beta, epsilon, slots, present)
    return outputs.permute(0, 2, 3, 1).reshape(inputs.shape), mean, variance


def by_channel(inputs: torch.Tensor) -> torch.Tensor:
    """The view [b, channels, n, 1] of [b, ..., channels], which the kernels know as `channels_last`."""
    return inputs.reshape(inputs.shape[0], -1, 1, inputs.shape[-1]).permute(0, 3, 1, 2)


class _Normalisation(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, x: torch.Tensor, gamma: torch.Tensor, beta: torch.Tensor, epsilon: float, slots: Slots, present: bool
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        total, mean, variance = global_statistics(x, gamma.dtype, slots, present)
        context.save_for_backward(x, gamma, total, mean, variance)
        context.epsilon, context.slots, context.present = epsilon, slots, present
        outputs = functional.batch_norm(x, mean, variance, gamma, beta, training=False, eps=epsilon)
        context.mark_non_differentiable(mean, variance)
        return outputs, mean, variance

    @staticmethod
    def backward(context: Any, upstream: torch.Tensor, *_: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, gamma, total, mean, variance = context.saved_tensors
        epsilon = context.epsilon
        upstream = upstream.contiguous(memory_format=torch.channels_last)
        _, local_gamma, local_beta = torch.ops.aten.native_batch_norm_backward(
            upstream, x, gamma, mean, variance, None, None, False, epsilon, [False, True, True]
        )
        all_gamma, all_beta = context.slots.sum(torch.stack([local_gamma, local_beta]))
        # The statistics depend on x too: minus gamma / std * (mean(upstream) + xhat * mean(upstream * xhat)), linear in x.
        inverse = torch.rsqrt(variance + epsilon)
        scale = gamma * inverse
        slope = -context.present * scale * inverse * all_gamma / total
        offset = -context.present * scale * all_beta / total - slope * mean
        # The kernel as x * slope + offset, in one pass.
        zeros, ones = torch.zeros_like(mean), torch.ones_like(mean)
        gradient = functional.batch_norm(x, zeros, ones, slope, offset, training=False, eps=0.0)
        gradient.addcmul_(upstream, scale.to(x.dtype).view(1, -1, 1, 1))
        return gradient, local_gamma, local_beta, None, None, None


def global_statistics(x: torch.Tensor, dtype: torch.dtype, slots: Slots, present: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rows of all slots together, and their mean and biased variance for each channel."""
    channels = x.shape[1]
    unused = torch.zeros(2, channels, dtype=dtype, device=x.device)
    # In double precision, so that a variance much smaller than the mean is not lost to rounding.
    mean, variance = (part.double() for part in torch.batch_norm_update_stats(x, unused[0], unused[1], 0.0))
    count = torch.full([1], x.numel() // channels, dtype=torch.float64, device=x.device)
    sums = torch.cat([torch.cat([mean, variance + mean * mean]) * count, count])
    sums = slots.sum(sums if present else torch.zeros_like(sums))
    total = sums[-1]
    mean = sums[:channels] / total
    variance = (sums[channels:-1] / total - mean * mean).clamp_min(0.0)
    return total.to(dtype), mean.to(dtype), variance.to(dtype)
