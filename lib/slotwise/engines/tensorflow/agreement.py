"""A check that all slots still hold the same weights."""

from __future__ import annotations

import hashlib

import keras
import tensorflow as tf

from slotwise.engines.tensorflow.collective import Slots
from slotwise.errors import TrainingFailed


def check_equal_weights(model: keras.Model, slots: Slots, epoch: int) -> None:
    """Compares a checksum of the weights over all slots.

    Raises:
        TrainingFailed: this slot's weights differ from another's.
    """
    if slots.count == 1:
        return
    digest = hashlib.sha256(b"".join(weight.tobytes() for weight in model.get_weights()))
    # 40 bits: a sum over thousands of slots is still exact in float64. It is `count` times each slot's own exactly where all are equal.
    own = float(int.from_bytes(digest.digest()[:5], "big"))
    if float(slots.summed(tf.constant(own, tf.float64))) != own * slots.count:
        raise TrainingFailed(f"After epoch {epoch} slot {slots.rank} holds other weights than the other slots; the run cannot be trusted and stops here")
