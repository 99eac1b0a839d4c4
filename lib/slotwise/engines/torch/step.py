"""One training step: the gradient of the true global batch, the same on every slot, applied once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from slotwise.engines.engine import Totals, watched_step
from slotwise.engines.torch.collective import Slots
from slotwise.engines.training_copy import SlotContext
from slotwise.feed.pipeline import NO_SAMPLE, Batch


class TrainingStep:
    """A training step; see `Step` and `MakeStep` in `slotwise.engines.engine`.

    DistributedDataParallel sums gradients while others are still worked out.
    """

    def __init__(
        self,
        model: keras.Model,
        context: SlotContext,
        optimizer: keras.Optimizer,
        slots: Slots,
        *,
        class_weights: Sequence[float] | None,
        label_smoothing: float,
        epoch_shape: tuple[int, int],
    ) -> None:
        self._model, self._context, self._optimizer, self._slots = model, context, optimizer, slots
        self._replica: Any = DistributedDataParallel(model, broadcast_buffers=False, gradient_as_bucket_view=True) if slots.count > 1 else model
        self._variables = model.trainable_variables
        self._dtype = getattr(torch, keras.config.floatx())
        self._class_weights = None if class_weights is None else torch.tensor(class_weights, dtype=self._dtype, device=slots.device)
        self._label_smoothing = label_smoothing
        self._totals = np.zeros(3)
        self._watched: int = watched_step(epoch_shape[0])
        self._norm: float | None = None
        self._fed = np.zeros((*epoch_shape, 2), np.int32)

    def __call__(self, step: int, batch: Batch, global_images: int, *, stop: bool) -> bool:
        images, labels, keys, origins = (torch.from_dlpack(part) for part in batch)
        has_samples = int(keys[0]) != NO_SAMPLE
        for variable in self._variables:
            variable.value.grad = None
        with self._context.samples(keys):
            logits = self._replica(images.to(self._slots.device), training=True).to(self._dtype)
        labels = labels.to(self._slots.device)
        losses = functional.cross_entropy(logits, labels, reduction="none") * has_samples
        told = torch.stack([losses.detach().sum(), (logits.argmax(1) == labels).sum() * has_samples, torch.tensor(float(stop), device=logits.device)])
        told = torch.cat([told.double(), self._own_fed(origins, has_samples).to(told.device)])
        # On its way while gradients are worked out.
        summed = dist.all_reduce(told, group=self._slots.group, async_op=True) if self._slots.count > 1 else None
        self._objective(logits, labels, losses, global_images, has_samples).backward()
        gradients = [variable.value.grad for variable in self._variables]
        if step == self._watched:
            self._norm = float(torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients]).norm())
        self._optimizer.apply(gradients, self._variables)
        if summed:
            summed.wait()
        loss, correct, asked, *_ = told.tolist()
        self._totals += (loss, correct, global_images)
        self._fed[step] = told[3:].cpu().numpy().reshape(-1, 2)
        return asked > 0

    def totals(self) -> Totals:
        loss, correct, images = self._totals.tolist()
        return Totals(loss, correct, images, self._norm)

    def fed(self, steps: int) -> npt.NDArray[np.int32]:
        return np.array(self._fed[:steps])

    def begin_epoch(self, sums: Sequence[float] = (0.0, 0.0, 0.0), fed: npt.NDArray[np.int32] | None = None) -> None:
        self._totals[:] = sums
        self._norm = None
        self._fed[:] = 0
        if fed is not None:
            self._fed[: len(fed)] = fed

    def _objective(self, logits: torch.Tensor, labels: torch.Tensor, losses: torch.Tensor, global_images: int, has_samples: bool) -> torch.Tensor:
        """What to go down on: this slot's share of the mean loss over the global batch, and of the penalty, times the slots.

        DistributedDataParallel takes the mean over the slots, which so becomes the sum of their shares.
        """
        if self._label_smoothing:
            losses = functional.cross_entropy(logits, labels, reduction="none", label_smoothing=self._label_smoothing) * has_samples
        weighted = losses if self._class_weights is None else losses * self._class_weights[labels]
        penalty = sum(loss.to(self._dtype) for loss in self._model.losses)
        return weighted.sum() * (self._slots.count / global_images) + penalty

    def _own_fed(self, origins: torch.Tensor, has_samples: bool) -> torch.Tensor:
        """Record and slot, from 1, at the places of this slot's samples, and 0 elsewhere; float64 [2 × batch]."""
        fed = torch.zeros(self._fed.shape[1:], dtype=torch.float64)
        if has_samples:
            fed[origins[:, 0], 0] = (origins[:, 1] + 1).double()
            fed[origins[:, 0], 1] = float(self._slots.rank + 1)
        return fed.flatten()
