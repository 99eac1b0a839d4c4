"""Loss and accuracy over a split: each slot counts its own shards, each sample counts once."""

from __future__ import annotations

from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf
import torch
from torch.nn import functional

from slotwise.engines.engine import CONFUSION_CLASSES, Evaluation
from slotwise.engines.timing import INFERENCES, median_seconds
from slotwise.engines.torch.collective import Slots


def inference_seconds(model: keras.Model, image_shape: tuple[int, int, int]) -> float:
    """Median seconds that one image alone takes from pixels to logits, over `INFERENCES` of them."""
    image = torch.zeros((1, *image_shape), dtype=torch.uint8)
    with torch.no_grad():
        return median_seconds(lambda: model(image, training=False).cpu(), INFERENCES)


class Evaluator:
    """Evaluates a model that gives logits."""

    def __init__(self, model: keras.Model, slots: Slots) -> None:
        self._model, self._slots = model, slots
        classes = model.output_shape[-1]
        self._classes = classes if classes <= CONFUSION_CLASSES else 0

    @torch.no_grad()
    def __call__(self, batches: Iterable[tuple[tf.Tensor, tf.Tensor]]) -> Evaluation | None:
        sums = torch.zeros(3 + self._classes**2, dtype=torch.float64, device=self._slots.device)
        for batch in batches:
            images, labels = (torch.from_dlpack(part).to(self._slots.device) for part in batch)
            logits = self._model(images, training=False).double()
            answers = logits.argmax(1)
            correct = (answers == labels).sum()
            sums[:3] += torch.stack([functional.cross_entropy(logits, labels, reduction="sum"), correct, torch.full_like(correct, len(labels))])
            if self._classes:
                sums[3:] += torch.bincount(labels * self._classes + answers, minlength=self._classes**2)
        loss, right, count, *confusion = self._slots.sum(sums).tolist()
        matrix = np.array(confusion, np.int64).reshape(self._classes, self._classes) if confusion else None
        return Evaluation(loss / count, right / count, int(count), matrix) if count else None
