"""Training processes as `train_distributed` starts them, one to a core, without Spark around them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

from slotwise import storage
from slotwise.contracts.job import TrainingJob, TrainingResult
from slotwise.localcluster.processes import free_port
from slotwise.settings.train import TrainSettings

_TIMEOUT_SECONDS = 600


def slots_rate(settings: TrainSettings, slots: int, place: str) -> float:
    """Images per second of a training on `slots` slots, slot r pinned to core r; the first epoch, which traces, is left out."""
    result = run_slots(settings, slots, place)
    later = result.epochs[1:]
    return sum(epoch.images for epoch in later) / sum(epoch.seconds for epoch in later)


def run_slots(settings: TrainSettings, slots: int, place: str) -> TrainingResult:
    """Trains on slots of this machine; returns what the chief measured. The run is kept under the URI `place`."""
    with tempfile.TemporaryDirectory(prefix="slotwise-bench-") as directory:
        scratch = Path(directory)
        run = storage.join(place, f"run-{uuid.uuid4().hex[:8]}")
        job = TrainingJob(settings=settings.model_copy(update={"run": run, "slots": slots}), resume=False)
        (scratch / "job.json").write_text(job.model_dump_json())
        ports = [free_port() for _ in range(slots)]
        processes = [_start(scratch, ports, slot) for slot in range(slots)]
        for process in processes:
            if process.wait(_TIMEOUT_SECONDS):
                raise RuntimeError(f"a slot ended with exit code {process.returncode}; its output is above")
        return TrainingResult.model_validate_json((scratch / "outcome-0.json").read_text())


def _start(scratch: Path, ports: list[int], slot: int) -> subprocess.Popen[bytes]:
    workers = [f"127.0.0.1:{port}" for port in ports]
    config = json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": slot}})
    command = [sys.executable, "-m", "slotwise.engines.worker", str(scratch / "job.json"), str(scratch / f"outcome-{slot}.json")]
    environment = one_core_environment() | rank_environment(ports[0], slot, len(ports)) | {"TF_CONFIG": config}
    return subprocess.Popen(pinned(command, slot), env=environment, stdout=subprocess.DEVNULL)


def rank_environment(port: int, rank: int, ranks: int) -> dict[str, str]:
    """Where PyTorch's processes meet, as TorchDistributor and `torchrun` say it."""
    return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "WORLD_SIZE": str(ranks)}


def pinned(command: list[str], core: int) -> list[str]:
    cores = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(cores[core % len(cores)]), *command]


def one_core_environment() -> dict[str, str]:
    """The environment of a process that is to use one core and no GPU."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
