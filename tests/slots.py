"""Trains a job on real slots: one process each, joined over loopback, as Spark's tasks start them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, NamedTuple

import preloaded
from slotwise.contracts.job import SlotExit, TrainingJob, TrainingResult
from slotwise.contracts.paths import RunPaths
from slotwise.engines import worker
from slotwise.localcluster.processes import free_port
from slotwise.settings.train import TrainSettings
from slotwise.training.checkpoints import Arrays, Checkpoints, weight_difference

LIMIT_SECONDS = 180.0
ENGINES = ("tensorflow", "torch")


class SlotEnd(NamedTuple):
    """How one slot's process ended."""

    exit_code: int
    output: str
    outcome: str | None


def make_job(dataset: str, run: Path, *, slots: int = 1, resume: bool = False, **settings: Any) -> TrainingJob:
    values: dict[str, Any] = {"model": "simple", "epochs": 2, "batch_size": 24, "precision": "float64", **settings}
    chosen = TrainSettings(dataset=dataset, run=str(run), slots=slots, local_cache=str(run.parent / "cache"), **values)
    return TrainingJob(settings=chosen, resume=resume)


def run_slots(job: TrainingJob, slots: int, hosts: Sequence[int] = ()) -> TrainingResult:
    """Trains a job on `slots` processes, on one host or on those numbered; returns what all of them measured.

    Fails if a slot fails, takes longer than `LIMIT_SECONDS`, or says something else than its sisters.
    """
    ends = end_slots(job, slots, hosts=hosts)
    for slot, end in enumerate(ends):
        assert end.exit_code == SlotExit.DONE, f"slot {slot} ended with {end.exit_code}: {end.outcome}\n{end.output[-4000:]}"
    results = [TrainingResult.model_validate_json(end.outcome or "") for end in ends]
    said = [(result.test_loss, result.test_accuracy, [epoch.loss for epoch in result.epochs]) for result in results]
    assert all(words == said[0] for words in said), said
    return results[0]


def end_slots(job: TrainingJob, slots: int, *, started: int | None = None, hosts: Sequence[int] = ()) -> list[SlotEnd]:
    """Runs the first `started` (all unless told) of `slots` processes to their end, well or not."""
    addresses = _free_addresses(slots, hosts)
    deadline = time.monotonic() + LIMIT_SECONDS
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        job_file = Path(scratch) / "job.json"
        job_file.write_text(job.model_dump_json())
        outcomes = [Path(scratch) / f"outcome-{slot}.json" for slot in range(started or slots)]
        logs = [Path(scratch) / f"log-{slot}" for slot in range(len(outcomes))]
        processes = []
        for slot, (outcome, log) in enumerate(zip(outcomes, logs, strict=True)):
            process = _process(job.settings.engine)(target=_train, args=(str(job_file), str(outcome), str(log), os.getcwd(), _environment(addresses, slot)))
            process.start()
            stack.callback(process.join)
            stack.callback(process.kill)
            processes.append(process)
        codes = [_wait(process, deadline) for process in processes]
        texts = [log.read_text(errors="replace") for log in logs]
        return [
            SlotEnd(code, text, outcome.read_text() if outcome.exists() else None)
            for code, text, outcome in zip(codes, texts, outcomes, strict=True)
        ]


def _process(engine: str) -> type[ForkServerProcess]:
    """New processes for an engine, forked from one that has imported it, which saves most of their time."""
    return preloaded.TorchProcess if engine == "torch" else preloaded.context().Process


def _train(job_file: str, outcome: str, log: str, directory: str, environment: dict[str, str]) -> None:
    """What `python -m slotwise.engines.worker` does in a directory, with its output in a file."""
    os.chdir(directory)
    sys.path.insert(0, directory)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    os.environ.update(environment)
    code = worker.main(job_file, outcome)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def run_script(script: str, slots: int, hosts: Sequence[int] = ()) -> list[str]:
    """Runs a Python program on each slot, with a number for the host of each; returns what each printed on standard output."""
    addresses = _free_addresses(slots, hosts)
    with ExitStack() as stack:
        processes = []
        for slot in range(slots):
            process = subprocess.Popen([sys.executable, "-c", script], env=_environment(addresses, slot), stdout=subprocess.PIPE, text=True)
            stack.callback(process.kill)
            processes.append(process)
        return [process.communicate(timeout=LIMIT_SECONDS)[0] for process in processes]


def last_weights(job: TrainingJob) -> Arrays:
    """The weights in a run's newest checkpoint."""
    newest = Checkpoints(RunPaths(job.run).checkpoints).latest()
    assert newest is not None
    return newest.weights


def largest_difference(job: TrainingJob, other: TrainingJob) -> float:
    """Largest absolute difference between two runs' weights."""
    return weight_difference(job.run, other.run)


def _wait(process: ForkServerProcess, deadline: float) -> int:
    process.join(max(deadline - time.monotonic(), 0.1))
    if process.exitcode is None:
        process.kill()
        process.join()
    assert process.exitcode is not None
    return process.exitcode


def _environment(addresses: list[str], slot: int) -> dict[str, str]:
    """What MirroredStrategyRunner and TorchDistributor set, each in its own words."""
    config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": slot}}
    host, _, port = addresses[0].partition(":")
    place = {"MASTER_ADDR": host, "MASTER_PORT": port, "RANK": str(slot), "WORLD_SIZE": str(len(addresses))}
    return {**os.environ, **place, "TF_CONFIG": json.dumps(config), "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}


def _free_addresses(count: int, hosts: Sequence[int] = ()) -> list[str]:
    """Addresses of so many slots on this machine, which by their addresses are on several hosts if told so."""
    return [f"127.0.0.{host + 1}:{free_port()}" for host in hosts or [0] * count]
