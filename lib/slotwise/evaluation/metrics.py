"""From the sums of an evaluation to its figures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from slotwise.contracts.evaluation import ClassMetrics, ConfusedPair, ReliabilityBin
from slotwise.evaluation.scores import Scores
from slotwise.evaluation.tally import Counts

_PAIRS = 10


def class_metrics(confusion: Counts, names: Sequence[str]) -> list[ClassMetrics]:
    """Precision, recall and F1 of each class by scikit-learn, to which a cell of the matrix is a sample of that weight."""
    # Slow to load, and not needed by a job that only says --help or what is wrong.
    from sklearn.metrics import precision_recall_fscore_support

    true, predicted = np.indices(confusion.shape).reshape(2, -1)
    found = precision_recall_fscore_support(true, predicted, labels=range(len(names)), sample_weight=confusion.ravel(), zero_division=0)
    rows = zip(names, confusion.sum(axis=1).tolist(), *(values.tolist() for values in found[:3]), strict=True)
    return [ClassMetrics(name=name, images=images, precision=precision, recall=recall, f1=f1) for name, images, precision, recall, f1 in rows]


def confused_pairs(confusion: Counts, names: Sequence[str]) -> list[ConfusedPair]:
    """The largest numbers off the diagonal, largest first, equal ones in the order of the classes."""
    cells = [(-confusion[i, j], i, j) for i, j in np.argwhere(confusion).tolist() if i != j]
    return [
        ConfusedPair(true=names[i], predicted=names[j], images=-negative, share=-negative / confusion[i].sum())
        for negative, i, j in sorted(cells)[:_PAIRS]
    ]


def reliability(bins: Scores) -> list[ReliabilityBin]:
    """The bins of a `Tally` as means."""
    edges = np.linspace(0, 1, len(bins) + 1).tolist()
    return [
        ReliabilityBin(
            low=low, high=high, images=int(images), confidence=confidence / images if images else None, accuracy=right / images if images else None
        )
        for low, high, (images, confidence, right) in zip(edges, edges[1:], bins.tolist(), strict=False)
    ]


def expected_calibration_error(bins: Scores) -> float:
    """Mean distance of accuracy and confidence over the bins, weighted by their images (Guo et al. 2017, eq. 3)."""
    return float(np.abs(bins[:, 2] - bins[:, 1]).sum() / bins[:, 0].sum())
