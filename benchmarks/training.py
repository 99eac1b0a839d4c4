"""Training processes as `train_distributed` starts them, one to a core, without Spark around them."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.processes import one_core_environment, pinned, together
from slotwise import numerics, storage
from slotwise.contracts.job import TrainingJob, TrainingResult
from slotwise.contracts.run import EpochRecord
from slotwise.localcluster.processes import free_port
from slotwise.settings.train import TrainSettings

_TIMEOUT_SECONDS = 600


def slots_rate(settings: TrainSettings, slots: int, place: str, *, hosts: Sequence[int] = ()) -> float:
    """Images per second of a training on `slots` slots, slot r pinned to core r; the first epoch, which traces, is left out.

    Args:
        place: URI of the directory of runs.
        hosts: a number for the host of each slot, by its address alone; one host unless told.
    """
    epochs = run_slots(settings, slots, place, hosts=hosts).epochs
    shares = [(epoch.all_reduce_share or 0.0, epoch.waiting_for_data_share) for epoch in epochs[1:]]
    reducing, waiting = (sum(share) / len(shares) for share in zip(*shares, strict=True))
    print(f"    {slots} of {settings.model}, {settings.precision}: {reducing:.1%} of the time in all-reduce, {waiting:.1%} waiting for data", flush=True)
    return rate_after_first(epochs)


def copies_rate(settings: TrainSettings, copies: int, place: str) -> float:
    """Images per second of separate trainings at the same time, together; copy r is one slot, pinned to core r."""

    def copy(core: int) -> float:
        return rate_after_first(run_slots(settings, 1, place, first_core=core).epochs)

    return together([partial(copy, core) for core in range(copies)])


def rate_after_first(epochs: Sequence[EpochRecord]) -> float:
    """Images per second over the epochs after the first."""
    return sum(epoch.images for epoch in epochs[1:]) / sum(epoch.seconds for epoch in epochs[1:])


def run_slots(settings: TrainSettings, slots: int, place: str, *, first_core: int = 0, hosts: Sequence[int] = ()) -> TrainingResult:
    """Trains on slots of this machine; returns what the chief measured. The run is kept under the URI `place`."""
    with tempfile.TemporaryDirectory(prefix="slotwise-bench-") as directory:
        scratch = Path(directory)
        run = storage.join(place, f"run-{uuid.uuid4().hex[:8]}")
        job = TrainingJob(settings=settings.model_copy(update={"run": run, "slots": slots}), resume=False)
        (scratch / "job.json").write_text(job.model_dump_json())
        workers = addresses(hosts or [0] * slots)
        processes = [_start(scratch, workers, slot, first_core + slot) for slot in range(slots)]
        for process in processes:
            if process.wait(_TIMEOUT_SECONDS):
                raise RuntimeError(f"a slot ended with exit code {process.returncode}; its output is above")
        return TrainingResult.model_validate_json((scratch / "outcome-0.json").read_text())


def _start(scratch: Path, workers: list[str], slot: int, core: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "slotwise.engines.worker", str(scratch / "job.json"), str(scratch / f"outcome-{slot}.json")]
    port = int(workers[0].rpartition(":")[2])
    environment = one_core_environment() | numerics.environment(1) | rank_environment(port, slot, len(workers)) | worker_environment(workers, slot)
    return subprocess.Popen(pinned(command, core), env=environment, stdout=subprocess.DEVNULL)


def addresses(hosts: Sequence[int]) -> list[str]:
    """A free `host:port` of this machine for each slot; slots with the same number have the same host."""
    return [f"127.0.0.{host + 1}:{free_port()}" for host in hosts]


def worker_environment(workers: list[str], slot: int) -> dict[str, str]:
    """Where TensorFlow's processes meet, each at a `host:port`, as MirroredStrategyRunner says it."""
    return {"TF_CONFIG": json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": slot}})}


def rank_environment(port: int, rank: int, ranks: int) -> dict[str, str]:
    """Where PyTorch's processes meet, as TorchDistributor and `torchrun` say it."""
    return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "WORLD_SIZE": str(ranks)}
