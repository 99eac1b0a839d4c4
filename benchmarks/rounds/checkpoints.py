"""What checkpoints on HDFS cost."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.data import dataset
from benchmarks.pairs import Claim, Contestants
from benchmarks.rounds.cnn import BATCH
from benchmarks.rounds.round import Round
from benchmarks.training import slots_rate
from slotwise.localcluster.cluster import LocalCluster, Workers
from slotwise.settings.train import TrainSettings


@contextmanager
def _contestants() -> Iterator[Contestants]:
    with tempfile.TemporaryDirectory(prefix="slotwise-bench-") as directory, LocalCluster(Path(directory), workers=Workers(0)) as cluster:
        settings = TrainSettings(dataset=dataset("covers"), run="unused", model="covers", epochs=4, batch_size=BATCH)
        # Ten times as many checkpoints as by default, so that their cost stands out of the noise: 20 % here are 2 % there.
        often, never = (settings.model_copy(update={"checkpoint_seconds": seconds}) for seconds in (3.0, 1e9))
        yield {"every 3 s": lambda: slots_rate(often, 1, cluster.hdfs), "none": lambda: slots_rate(never, 1, cluster.hdfs)}


ROUND = Round("checkpoints", (Claim("checkpoint on HDFS every 3 s / none within epochs, covers", 0.8, "every 3 s", ("none",)),), _contestants)
