"""One slot and two, a core each, against Keras's `fit`, against copies of themselves, and the torch engine against plain DDP."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from benchmarks import in_step
from benchmarks.data import dataset
from benchmarks.machine import has_bfloat16
from benchmarks.pairs import Claim, Contestants
from benchmarks.processes import one_core_environment, pinned, rate_of
from benchmarks.rounds.round import Round
from benchmarks.training import copies_rate, rank_environment, slots_rate
from slotwise.localcluster.processes import free_port
from slotwise.settings.train import TrainSettings

BATCH, EPOCHS = 128, 3


def _tensorflow(model: str, data: str, epochs: int) -> Callable[[], AbstractContextManager[Contestants]]:
    @contextmanager
    def contestants() -> Iterator[Contestants]:
        with tempfile.TemporaryDirectory(prefix="slotwise-bench-") as directory:
            uri, place = dataset(data), Path(directory).as_uri()
            settings = TrainSettings(dataset=uri, run="unused", model=model, epochs=epochs, batch_size=BATCH)
            bfloat16, half = settings.model_copy(update={"precision": "mixed_bfloat16"}), settings.model_copy(update={"batch_size": BATCH // 2})
            yield {
                "one slot": lambda: slots_rate(settings, 1, place),
                "one slot bfloat16": lambda: slots_rate(bfloat16, 1, place),
                "Keras fit": rate_of("peers.keras_fit", uri, model, BATCH, epochs),
                "two slots": lambda: slots_rate(settings, 2, place),
                "two copies": lambda: copies_rate(settings, 2, place),
                # A slot's work without the sums: what two slots could reach at the most.
                "two half copies": lambda: copies_rate(half, 2, place),
                "two slots, gRPC": lambda: slots_rate(settings, 2, place, hosts=range(2)),
                "work in step": lambda: in_step.both_rates(meet=True),
                "work apart": lambda: in_step.both_rates(meet=False),
                "convolutions": rate_of("convolutions", "float32"),
                "convolutions, bfloat16": rate_of("convolutions", "bfloat16"),
            }

    return contestants


@contextmanager
def _torch() -> Iterator[Contestants]:
    with tempfile.TemporaryDirectory(prefix="slotwise-bench-") as directory:
        uri, place = dataset("covers"), Path(directory).as_uri()
        settings = TrainSettings(dataset=uri, run="unused", model="covers", epochs=EPOCHS, batch_size=BATCH, engine="torch")
        yield {
            "torch, one slot": lambda: slots_rate(settings, 1, place),
            "DDP, one rank": lambda: _ddp_rate(uri, 1),
            "torch, two slots": lambda: slots_rate(settings, 2, place),
            "DDP, two ranks": lambda: _ddp_rate(uri, 2),
        }


def _ddp_rate(uri: str, ranks: int) -> float:
    command = [sys.executable, "-m", "benchmarks.peers.ddp", uri, "covers", str(BATCH // ranks), str(EPOCHS)]
    port = free_port()
    processes = [
        subprocess.Popen(pinned(command, rank), env=one_core_environment() | rank_environment(port, rank, ranks), stdout=subprocess.PIPE, text=True)
        for rank in range(ranks)
    ]
    said = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        raise RuntimeError("the plain DDP loop ended with an error; its output is above")
    return float(said[0].split()[-1])


_BFLOAT16 = (
    Claim("one slot bfloat16 / Keras fit float32, covers", 2.8, "one slot bfloat16", ("Keras fit",)),
    Claim("convolutions by themselves in bfloat16 / in float32, covers", None, "convolutions, bfloat16", ("convolutions",)),
)
ROUNDS = (
    Round(
        "covers",
        (
            Claim("one slot / Keras fit, covers, float32", 1.75, "one slot", ("Keras fit",)),
            *(_BFLOAT16 if has_bfloat16() else ()),
            Claim("two slots / one slot, covers, same global batch", 1.75, "two slots", ("one slot",)),
            Claim("two slots / two separate copies, covers", 0.95, "two slots", ("two copies",)),
            Claim("two separate copies with half the batch each / two separate copies, covers", None, "two half copies", ("two copies",)),
        ),
        _tensorflow("covers", "covers", EPOCHS),
    ),
    Round(
        "simple",
        (
            Claim("one slot / Keras fit, simple, float32", 1.4, "one slot", ("Keras fit",)),
            Claim("two slots / one slot, simple, same global batch", 1.7, "two slots", ("one slot",)),
            Claim("two slots / two separate copies, simple", 0.9, "two slots", ("two copies",)),
            Claim("two separate copies with half the batch each / two separate copies, simple", None, "two half copies", ("two copies",)),
            Claim("the same work on two cores in step / each for itself, with nothing exchanged", None, "work in step", ("work apart",)),
            Claim("two slots / two slots that sum over gRPC, simple", None, "two slots", ("two slots, gRPC",)),
        ),
        _tensorflow("simple", "cifar10", EPOCHS - 1),  # with 281 steps in an epoch, one after the first is enough
    ),
    Round(
        "torch",
        (
            Claim("torch engine on one slot / plain DDP loop on one process, covers", 0.95, "torch, one slot", ("DDP, one rank",)),
            Claim("torch engine on two slots / plain DDP loop on two processes, covers", 0.95, "torch, two slots", ("DDP, two ranks",)),
        ),
        _torch,
    ),
)
