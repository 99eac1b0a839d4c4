"""From spark-submit to the end of the first training step, against its parts measured apart: Spark's session, TensorFlow's import, a first trace."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.data import dataset
from benchmarks.pairs import Claim, Contestants
from benchmarks.processes import rate_of
from benchmarks.rounds.cnn import BATCH
from benchmarks.rounds.round import Round
from benchmarks.submit import submit
from slotwise.contracts import run as runs

_MASTER = "local[1]"


@contextmanager
def _contestants() -> Iterator[Contestants]:
    with tempfile.TemporaryDirectory(prefix="slotwise-bench-") as directory:
        uri, run = dataset("covers"), Path(directory, "run").as_uri()
        seconds_of_import, seconds_of_trace = rate_of("peers.first_step", "import"), rate_of("peers.first_step", "trace", uri, BATCH)

        def first_step() -> float:
            submit("jobs/train_distributed.py", "--dataset", uri, "--run", run, "--batch-size", str(BATCH), "--epochs", "1", "--steps-per-epoch", "1", "--overwrite", master=_MASTER)
            return 1 / sum(runs.load(run).starting.values())

        def parts() -> float:
            seconds_of_session = float(submit("benchmarks/peers/first_step.py", "session", master=_MASTER).split()[-1])
            return 1 / (seconds_of_session + seconds_of_import() + seconds_of_trace())

        yield {"first step": first_step, "parts": parts}


ROUND = Round("starting", (Claim("session + import + first trace, apart / from spark-submit to the first step", 1 / 1.25, "first step", ("parts",)),), _contestants)
