"""Single images of an evaluation: those to be shown, and those that stand for their class in a smaller confusion matrix."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from slotwise.contracts.hashing import unit_hash
from slotwise.contracts.sample import Sample
from slotwise.evaluation.scores import Scores, most_probable, softmax
from slotwise.evaluation.tally import Counts, confusion

_SHOWN_CLASSES = 3


@dataclass(frozen=True)
class Answer:
    """An image with its most probable classes, by number, and their probabilities, highest first; `order` is drawn from its id."""

    sample: Sample
    top: list[tuple[int, float]]
    order: float

    @property
    def is_right(self) -> bool:
        return self.top[0][0] == self.sample.label


@dataclass(frozen=True)
class Selection:
    """How many images to keep: of each kind to show, and of each class to count (None: none apart)."""

    examples: int
    per_class: int | None


@dataclass(frozen=True)
class Kept:
    """The images kept of some, never more than a `Selection` says; of several parts together the same as of the whole.

    `wrong` are the mistakes of the highest probability, `right` and `counted` the first in the order drawn from their ids; `counted`
    has for each class (order, predicted class).
    """

    wrong: list[Answer] = field(default_factory=list)
    right: list[Answer] = field(default_factory=list)
    counted: dict[int, list[tuple[float, int]]] = field(default_factory=dict)

    def confusion(self, classes: int) -> Counts:
        """Of the counted images, int64 [classes, classes]."""
        pairs = [(label, predicted) for label, images in self.counted.items() for _, predicted in images]
        labels, predicted = np.array(pairs, np.int64).reshape(-1, 2).T
        return confusion(labels, predicted, classes)


def answers(samples: Sequence[Sample], logits: Scores) -> list[Answer]:
    """What a model said to samples; logits [n, classes]."""
    probabilities = softmax(logits)
    top = most_probable(probabilities, _SHOWN_CLASSES)
    rows = zip(samples, top.tolist(), np.take_along_axis(probabilities, top, 1).tolist(), strict=True)
    return [Answer(sample, list(zip(classes, chances, strict=True)), unit_hash([sample.id], 0)) for sample, classes, chances in rows]


def keep(parts: Iterable[Kept], selection: Selection) -> Kept:
    """The images kept of several parts together."""
    together = list(parts)
    counted: dict[int, list[tuple[float, int]]] = {}
    for part in together:
        for label, images in part.counted.items():
            counted[label] = heapq.nsmallest(selection.per_class or 0, counted.get(label, []) + images)
    return Kept(
        heapq.nsmallest(selection.examples, (answer for part in together for answer in part.wrong), key=lambda answer: (-answer.top[0][1], answer.sample.id)),
        heapq.nsmallest(selection.examples, (answer for part in together for answer in part.right), key=lambda answer: (answer.order, answer.sample.id)),
        counted,
    )


def kept(found: Sequence[Answer]) -> Kept:
    """All of some answers, as a part that others can be kept together with."""
    counted: dict[int, list[tuple[float, int]]] = {}
    for answer in found:
        counted.setdefault(answer.sample.label, []).append((answer.order, answer.top[0][0]))
    return Kept([answer for answer in found if not answer.is_right], [answer for answer in found if answer.is_right], counted)
