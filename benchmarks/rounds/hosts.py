"""What it brings that the slots of a host sum in memory first, and hosts over the network, on more slots than this machine has cores."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.data import dataset
from benchmarks.pairs import Claim, Contestants
from benchmarks.rounds.cnn import BATCH, EPOCHS
from benchmarks.rounds.round import Round
from benchmarks.training import slots_rate
from slotwise.settings.train import TrainSettings

_SLOTS = 8


@contextmanager
def _contestants() -> Iterator[Contestants]:
    with tempfile.TemporaryDirectory(prefix="slotwise-bench-") as directory:
        settings, place = TrainSettings(dataset=dataset("small"), run="unused", model="simple", epochs=EPOCHS, batch_size=BATCH), Path(directory).as_uri()
        yield {
            "two hosts": lambda: slots_rate(settings, _SLOTS, place, hosts=[slot % 2 for slot in range(_SLOTS)]),
            "a host each": lambda: slots_rate(settings, _SLOTS, place, hosts=range(_SLOTS)),
        }


ROUND = Round("hosts", (Claim("eight slots on two hosts / on a host each, simple", 1.3, "two hosts", ("a host each",)),), _contestants)
