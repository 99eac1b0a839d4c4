"""How right models are, and how often they name the original's class, as sums: whoever adds those of shards has those of the whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slotwise.contracts.export import ORIGINAL


@dataclass(frozen=True)
class Agreement:
    """Of so many images, by model: those whose class it named, and those for which it named the original's."""

    images: int
    right: Mapping[str, int]
    agreed: Mapping[str, int]

    def __add__(self, other: Agreement) -> Agreement:
        def total(one: Mapping[str, int], two: Mapping[str, int]) -> dict[str, int]:
            return {name: one.get(name, 0) + two.get(name, 0) for name in {**one, **two}}

        return Agreement(self.images + other.images, total(self.right, other.right), total(self.agreed, other.agreed))


NOTHING = Agreement(0, {}, {})


def agreement(probabilities: Mapping[str, npt.NDArray[np.floating]], labels: npt.NDArray[np.int64]) -> Agreement:
    """Of some images: probabilities [n, classes] of each model, the original among them, and classes [n]. Of equal ones the first counts."""
    named = {name: each.argmax(axis=1) for name, each in probabilities.items()}
    original = named[ORIGINAL]
    return Agreement(
        len(labels),
        {name: int((classes == labels).sum()) for name, classes in named.items()},
        {name: int((classes == original).sum()) for name, classes in named.items()},
    )
