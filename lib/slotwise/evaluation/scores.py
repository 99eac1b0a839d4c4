"""From logits to probabilities, and to the most probable classes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]


def softmax(logits: Scores) -> Scores:
    """Probabilities of logits, both [n, classes]."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def most_probable(probabilities: Scores, count: int) -> npt.NDArray[np.int64]:
    """The classes, by number, with the highest probabilities, highest first and equal ones in order: int64 [n, count]."""
    return np.argsort(-probabilities, axis=1, kind="stable")[:, :count]
