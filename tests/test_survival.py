"""A run outlives its slots: real processes killed and stopped on a real cluster, and the same weights in the end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from job_runs import TRAIN, put, tiny_dataset
from slots import make_job, run_slots
from slotwise import storage
from slotwise.contracts import run as runs
from slotwise.contracts.paths import RunPaths
from slotwise.localcluster.cluster import LocalCluster
from slotwise.train.checkpoints import Checkpoints

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

EPOCHS = 12
# Struck once this epoch is over; enough are left that the run is still training then.
STRUCK_AFTER = 2
SETTINGS = {"model": "simple", "epochs": EPOCHS, "batch_size": 16, "precision": "float64", "augment": ["flip", "rotate"]}


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def kill_training(task: int) -> None:
    (training,) = children_of(task)
    os.kill(training, signal.SIGKILL)


def stop_training(task: int) -> None:
    (training,) = children_of(task)
    os.kill(training, signal.SIGSTOP)


def kill_executor(task: int) -> None:
    daemon = parent_of(task)
    os.kill(parent_of(daemon), signal.SIGKILL)


FAULTS: dict[str, tuple[Callable[[int], None], str]] = {
    "training process killed": (kill_training, "SIGKILL"),
    "training process stopped": (stop_training, "no sign of life for 5 s"),
    "executor killed": (kill_executor, "lost an executor"),
}


@pytest.fixture(scope="module")
def local_dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_dataset(tmp_path_factory.mktemp("datasets") / "tiny")


@pytest.fixture(scope="module")
def undisturbed(local_dataset: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The run that nothing happened to."""
    job = make_job(local_dataset, tmp_path_factory.mktemp("runs") / "undisturbed", **SETTINGS)
    run_slots(job, 1)
    return job.run


@pytest.fixture(scope="module")
def dataset(cluster: LocalCluster, local_dataset: str) -> Iterator[str]:
    uri = f"{cluster.hdfs}/survival/{uuid.uuid4().hex[:8]}"
    yield put(Path(storage.local_path(local_dataset)), f"{uri}/tiny")
    storage.delete(uri)


@pytest.mark.parametrize("fault", list(FAULTS))
def test_a_run_that_loses_a_slot_ends_where_the_undisturbed_one_does(cluster: LocalCluster, dataset: str, undisturbed: str, fault: str) -> None:
    strike, reason = FAULTS[fault]
    run = storage.join(storage.parent(dataset), fault.replace(" ", "-"))
    output = _train_and_strike(cluster, dataset, run, strike)
    record = runs.load(run)
    assert len(record.epochs) == EPOCHS
    assert [restart.slots for restart in record.restarts] == [2]
    assert reason in record.restarts[0].reason
    assert "restart 1 of at most 3" in output
    assert record.resumed_from_epochs[0] >= STRUCK_AFTER
    assert _largest_difference(run, undisturbed) <= 1e-8


def _largest_difference(first: str, second: str) -> float:
    newest = [Checkpoints(RunPaths(run).checkpoints).latest() for run in (first, second)]
    assert newest[0] is not None
    assert newest[1] is not None
    return max(float(np.abs(a - b).max()) for a, b in zip(newest[0].weights, newest[1].weights, strict=True))


def _train_and_strike(cluster: LocalCluster, dataset: str, run: str, strike: Callable[[int], None]) -> str:
    """Trains on two slots by spark-submit, strikes slot 1's task in mid-run; returns what the driver printed."""
    submit = Path(sys.executable).parent / "spark-submit"
    flags = ["--epochs", str(EPOCHS), "--batch-size", "16", "--model", "simple", "--precision", "float64", "--augment", "flip,rotate"]
    command = [str(submit), "--master", cluster.master, TRAIN, "--dataset", dataset, "--run", run, "--slots", "2", "--slot-timeout", "5", *flags]
    task, lines = 0, []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True) as driver:
        try:
            assert driver.stdout is not None
            for line in driver.stdout:
                lines.append(line)
                if started := re.search(r"slot 1 \| starts on .*, process (\d+)", line):
                    task = int(started[1])
                if f"epoch {STRUCK_AFTER}/{EPOCHS}  done" in line:
                    strike(task)
        finally:
            if driver.poll() is None:
                try:
                    driver.wait(60)
                except subprocess.TimeoutExpired:
                    os.killpg(driver.pid, signal.SIGKILL)
    output = "".join(lines)
    assert driver.returncode == 0, output[-5000:]
    return output
