"""Two slots by spark-submit, against the published way (Keras 2 `fit` in MirroredStrategyRunner) and against DDP under TorchDistributor."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from benchmarks.data import dataset
from benchmarks.pairs import Claim, Contestants
from benchmarks.processes import rate_of, together
from benchmarks.rounds.cnn import BATCH, EPOCHS
from benchmarks.rounds.round import Round
from benchmarks.submit import submit
from benchmarks.training import rate_after_first
from slotwise import storage
from slotwise.contracts import run as runs

_SLOTS = 2
_MASTER = f"local[{_SLOTS}]"


def _on_spark(model: str, data: str) -> Callable[[], AbstractContextManager[Contestants]]:
    @contextmanager
    def contestants() -> Iterator[Contestants]:
        with tempfile.TemporaryDirectory(prefix="slotwise-bench-") as directory:
            uri, run = dataset(data), Path(directory, "run").as_uri()

            def slots() -> float:
                flags = {"--dataset": uri, "--run": run, "--model": model, "--batch-size": BATCH, "--epochs": EPOCHS, "--slots": _SLOTS}
                submit("jobs/train_distributed.py", *(str(word) for flag in flags.items() for word in flag), "--overwrite", master=_MASTER)
                return rate_after_first(runs.load(storage.normalise(run)).epochs)

            def peer(program: str, batch: int) -> Callable[[], float]:
                arguments = (uri, model, str(batch), str(EPOCHS), str(_SLOTS))
                return lambda: float(submit(f"benchmarks/peers/{program}.py", *arguments, master=_MASTER).split()[-1])

            yield {
                "slots": slots,
                "tf_keras": peer("tf_keras_fit", BATCH),
                "TorchDistributor": peer("ddp", BATCH // _SLOTS),
                "convolutions": lambda: together([rate_of("convolutions", "float32", core=core) for core in range(_SLOTS)]),
            }

    return contestants


_PEERS = ("tf_keras", "TorchDistributor")
_AGAINST = "/ the faster of tf_keras fit in MirroredStrategyRunner and DDP under TorchDistributor"
ROUNDS = (
    Round(
        "covers on Spark",
        (
            Claim(f"two slots {_AGAINST}, covers", 2.0, "slots", _PEERS),
            Claim("TensorFlow's convolutions of covers by themselves, on two cores / the faster of the same two", None, "convolutions", _PEERS),
        ),
        _on_spark("covers", "covers"),
    ),
    Round("simple on Spark", (Claim(f"two slots {_AGAINST}, simple", 1.5, "slots", _PEERS),), _on_spark("simple", "small")),
)
