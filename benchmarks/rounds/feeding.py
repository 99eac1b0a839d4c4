"""The feed of one slot on one core, against tf.data without an order and against petastorm's reader."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.data import dataset
from benchmarks.pairs import Claim, Contestants
from benchmarks.processes import rate_of
from benchmarks.rounds.cnn import BATCH, EPOCHS
from benchmarks.rounds.round import Round


@contextmanager
def _contestants() -> Iterator[Contestants]:
    records, parquet = dataset("covers"), dataset("covers-parquet")
    yield {
        "slot": rate_of("feeding", records, BATCH, 2 * EPOCHS),
        "slot, Parquet": rate_of("feeding", parquet, BATCH, 2 * EPOCHS),
        "tf.data": rate_of("peers.tf_data", records, BATCH, 2 * EPOCHS, "crop"),
        "tf.data, decode_and_crop": rate_of("peers.tf_data", records, BATCH, 2 * EPOCHS, "decode_and_crop"),
        "tf.data, cache": rate_of("peers.tf_data", records, BATCH, 2 * EPOCHS, "cache"),
        "petastorm": rate_of("peers.petastorm_reader", parquet, BATCH, EPOCHS),
    }


ROUND = Round(
    "feeding",
    (
        Claim("feed in a slot's order / fastest unordered tf.data, 150x100, flip and crop", 0.9, "slot", ("tf.data", "tf.data, decode_and_crop", "tf.data, cache")),
        Claim("feed from Parquet / petastorm's TensorFlow reader, 150x100, flip and crop", 5.0, "slot, Parquet", ("petastorm",)),
    ),
    _contestants,
)
