"""All that the figures of an evaluation need of its images, as sums: whoever adds the sums of shards has those of the whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt

from slotwise.evaluation.scores import Scores, most_probable, softmax

Counts = npt.NDArray[np.int64]

BINS = 15
"""Of equal width, as in Guo et al. 2017, https://arxiv.org/abs/1706.04599."""


@dataclass(frozen=True)
class Tally:
    """Sums over images.

    Args:
        loss: cross-entropies.
        ranks: images whose class is the most probable, the second, …; int64 [classes].
        confusion: images of class i taken for class j; int64 [classes, classes].
        bins: for each bin of the highest probability its images, their highest probabilities, and those right; float64 [BINS, 3].
    """

    loss: float
    ranks: Counts
    confusion: Counts
    bins: Scores

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.loss + other.loss, self.ranks + other.ranks, self.confusion + other.confusion, self.bins + other.bins)

    @property
    def images(self) -> int:
        return int(self.ranks.sum())


def tally(logits: Scores, labels: Counts) -> Tally:
    """The sums of some images: logits [n, classes] and classes [n]. Of equally probable classes the first comes first."""
    classes = logits.shape[1]
    images = np.arange(len(labels))
    probabilities = softmax(logits)
    order = most_probable(logits, classes)
    predicted = order[:, 0]
    raised = logits - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(raised).sum(axis=1)) - raised[images, labels]
    confidence = probabilities[images, predicted]
    place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    weights = (np.ones(len(labels)), confidence, (predicted == labels).astype(float))
    return Tally(
        loss=float(losses.sum()),
        ranks=np.bincount((order == labels[:, None]).argmax(axis=1), minlength=classes),
        confusion=confusion(labels, predicted, classes),
        bins=np.stack([np.bincount(place, weight, BINS) for weight in weights], axis=1),
    )


def confusion(labels: Counts, predicted: Counts, classes: int) -> Counts:
    """Images of class i taken for class j, int64 [classes, classes]."""
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def total(tallies: Iterable[Tally]) -> Tally:
    return reduce(Tally.__add__, tallies)
