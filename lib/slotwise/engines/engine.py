"""What an engine is to the training loop: the parts of a training that a tensor library does in its own way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import keras
import numpy as np
import numpy.typing as npt

from slotwise.feed.pipeline import Batch

if TYPE_CHECKING:
    from slotwise.engines.training_copy import SlotContext

Forms = Mapping[type[keras.layers.Layer], type[keras.layers.Layer]]


class Slots(Protocol):
    """This process among the others."""

    @property
    def rank(self) -> int: ...

    @property
    def count(self) -> int: ...

    @property
    def is_chief(self) -> bool: ...

    def total(self, numbers: Sequence[float]) -> list[float]:
        """The sums of a few numbers over all slots, in double precision; every slot calls it."""

    def part(self) -> None:
        """Waits until the other slots have all their results too."""


@dataclass(frozen=True)
class Totals:
    """Sums over the samples of an epoch so far, over all slots."""

    loss: float
    correct: float
    images: float
    gradient_norm: float | None = None
    """Of the step that `watched_step` names, once it is taken in this process."""


def watched_step(steps: int) -> int:
    """The step of an epoch whose gradient's norm is recorded: the last that surely has a whole batch, if there is one."""
    return max(steps - 2, 0)


class Step(Protocol):
    """A training step, and what it keeps of an epoch: sums, and the audit of what was fed."""

    def __call__(self, step: int, batch: Batch, global_images: int, *, stop: bool) -> bool:
        """Takes one step with this slot's part of a global batch.

        Args:
            step: its number in the epoch, from 0.
            batch: this slot's samples.
            global_images: images of the step over all slots.
            stop: whether this slot asks all to stop.

        Returns:
            whether any slot asks so, the same on each.
        """

    def totals(self) -> Totals: ...

    def fed(self, steps: int) -> npt.NDArray[np.int32]:
        """What the first steps of the epoch fed, over all slots: record and slot, from 1, at each place; int32 [steps, batch, 2]."""

    def begin_epoch(self, sums: Sequence[float] = (0.0, 0.0, 0.0), fed: npt.NDArray[np.int32] | None = None) -> None:
        """Forgets the last epoch; `sums` and `fed` are those of the steps that a checkpoint has already."""


class MakeStep(Protocol):
    """Makes the training step of a model."""

    def __call__(
        self,
        model: keras.Model,
        context: SlotContext,
        optimizer: keras.Optimizer,
        slots: Any,
        *,
        class_weights: Sequence[float] | None,
        label_smoothing: float,
        epoch_shape: tuple[int, int],
    ) -> Step:
        """A step.

        Args:
            model: a `training_copy`, giving logits.
            context: the copy's context.
            optimizer: built for the model's trainable variables.
            slots: those that train together.
            class_weights: weight of each class in the loss, or None for equal ones.
            label_smoothing: share of each label spread evenly over all classes (Szegedy et al. 2016, https://arxiv.org/abs/1512.00567).
            epoch_shape: steps of an epoch, and places of a global batch.
        """


CONFUSION_CLASSES = 100
"""With more, a confusion matrix is nothing to look at, and much to sum over the slots."""


class Evaluation(NamedTuple):
    """Means over all samples of a split, exact over slots."""

    loss: float
    accuracy: float
    images: int
    confusion: npt.NDArray[np.int64] | None
    """Images by [true class, answer]; None beyond `CONFUSION_CLASSES` classes."""


Evaluator = Callable[[Iterable[tuple[Any, Any]]], "Evaluation | None"]


@dataclass(frozen=True)
class Engine:
    """One engine, joined to the other slots.

    Args:
        slots: those that train together.
        forms: the classes of Keras layers that are swapped for training, and what for.
        adam: Keras's Adam, or one with its variables and its formula.
        make_evaluator: from a model that gives logits and the slots; the evaluator takes this slot's batches (images, labels)
            together with the other slots' and gives None if no slot has any.
        all_reduce_seconds: of a model and the slots: median seconds of the sums of one training step.
        inference_seconds: of a model and the shape of an image: median seconds that one image alone takes from pixels to logits.
    """

    slots: Slots
    forms: Forms
    adam: type[keras.optimizers.Adam]
    make_step: MakeStep
    make_evaluator: Callable[[keras.Model, Any], Evaluator]
    all_reduce_seconds: Callable[[keras.Model, Any], float]
    inference_seconds: Callable[[keras.Model, tuple[int, int, int]], float]
