"""Checks that all slots are at the same place and hold the same weights."""

from __future__ import annotations

import hashlib

import keras

from slotwise.contracts.run import Position
from slotwise.engines.engine import Slots
from slotwise.errors import TrainingFailed

# A sum of so small numbers over thousands of slots is still exact in float64.
_BITS = 40


def _differs(number: int, slots: Slots) -> bool:
    """Whether this slot's number (at most 40 bits) is not the mean over all; true on one slot at least, unless all have the same."""
    return slots.total([float(number)]) != [float(number) * slots.count]


def check_equal_start(position: Position, slots: Slots) -> None:
    """Sees that all slots begin at the same step.

    Raises:
        TrainingFailed: this slot read another checkpoint than the others.
    """
    if slots.count > 1 and _differs(position.epoch << 24 | position.step, slots):
        raise TrainingFailed(f"Slot {slots.rank} would go on after {position}, other slots elsewhere: not all of them can read the same checkpoint")


def check_equal_weights(model: keras.Model, slots: Slots, epoch: int) -> None:
    """Compares a checksum of the weights over all slots.

    Raises:
        TrainingFailed: this slot's weights differ from another's.
    """
    if slots.count == 1:
        return
    digest = hashlib.sha256(b"".join(weight.tobytes() for weight in model.get_weights())).digest()
    if _differs(int.from_bytes(digest[: _BITS // 8], "big"), slots):
        raise TrainingFailed(f"After epoch {epoch} slot {slots.rank} holds other weights than the other slots; the run cannot be trusted and stops here")
