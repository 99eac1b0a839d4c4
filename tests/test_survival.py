"""A run outlives its slots and its driver: real processes killed and stopped on a real cluster, and the same weights in the end."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks import faults
from benchmarks.faults import Strike

from conftest import LIGHT_JAVA
from job_runs import COUNTS, put, tiny_dataset
from slots import make_job, run_slots
from slotwise import storage
from slotwise.contracts import run as runs
from slotwise.contracts.run import RunRecord
from slotwise.localcluster.cluster import LocalCluster
from slotwise.training.checkpoints import weight_difference

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

EPOCHS = 16
# Struck once each of these epochs is over; enough are left that the run is still training then.
STRUCK_AFTER = (2, 6, 10)
SETTINGS = {"model": "simple", "epochs": EPOCHS, "batch_size": 16, "precision": "float64", "augment": ["flip", "rotate"]}
FLAGS = f"--model simple --epochs {EPOCHS} --batch-size 16 --precision float64 --augment flip,rotate --checkpoint-steps 3 --slot-timeout 10".split()
WHEN = [f"epoch {epoch}/{EPOCHS}  done" for epoch in STRUCK_AFTER]
AUDIT = f"each of {COUNTS[0]} ids exactly once in each of {EPOCHS} epochs"


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


@pytest.fixture
def run(dataset: str) -> str:
    return storage.join(storage.parent(dataset), f"run-{uuid.uuid4().hex[:8]}")


def went_on(record: RunRecord) -> bool:
    """Whether each start but the first went on about where the one before was struck; the last epoch may still have been on its way to the storage."""
    return all(place.epoch >= epoch - 1 for place, epoch in zip(record.resumed_from, STRUCK_AFTER, strict=False))


def test_a_run_that_loses_slots_ends_where_the_undisturbed_one_does(cluster: LocalCluster, dataset: str, run: str, undisturbed: str) -> None:
    """One run is struck three times: the chief, which writes the checkpoints and leads TensorFlow's cluster, then the other slot, then an executor."""
    strikes = [Strike(fault, slot, when) for (fault, slot), when in zip(((faults.kill_training, 0), (faults.stop_training, 1), (faults.kill_executor, 1)), WHEN, strict=True)]
    training = faults.train(cluster.master, ["--dataset", dataset, "--run", run, "--slots", "2", *FLAGS], then=strikes, options=LIGHT_JAVA)
    assert training.driver.returncode == 0, training.output
    record = runs.load(run)
    assert len(record.epochs) == EPOCHS
    assert [restart.slots for restart in record.restarts] == [2, 2, 2], training.output
    for restart, reason in zip(record.restarts, ("SIGKILL", "no sign of life for 10 s", "lost an executor"), strict=True):
        assert reason in restart.reason
    assert "restart 3 of at most 3" in training.output
    assert len(record.resumed_from) == 3
    assert went_on(record)
    assert str(record.audit) == AUDIT
    assert "running.json" not in storage.children(run)
    assert weight_difference(run, undisturbed) <= 1e-8


def test_a_run_whose_driver_ends_is_resumed_on_any_number_of_slots(cluster: LocalCluster, dataset: str, run: str, undisturbed: str) -> None:
    """Its driver is killed, the one that goes on with it is told to end, and a third goes on with it on one slot."""
    flags = ["--dataset", dataset, "--run", run, *FLAGS]
    killed = faults.train(cluster.master, [*flags, "--slots", "2"], fault=faults.kill_driver, when=WHEN[0], options=LIGHT_JAVA)
    assert killed.driver.returncode == -9, killed.output
    ended = faults.train(cluster.master, [*flags, "--slots", "2", "--resume"], fault=faults.end_driver, when=WHEN[1], options=LIGHT_JAVA)
    assert ended.driver.returncode == 143, ended.output
    assert "error: The training was stopped as asked; a checkpoint holds everything up to epoch " in ended.output
    assert f"Go on with --resume --run {run}" in ended.output
    assert "Traceback" not in ended.output
    resumed = faults.train(cluster.master, [*flags, "--slots", "1", "--resume"], options=[*LIGHT_JAVA, "--conf", "spark.cores.max=1"])
    assert resumed.driver.returncode == 0, resumed.output
    record = runs.load(run)
    assert (len(record.epochs), record.slots, str(record.audit)) == (EPOCHS, 1, AUDIT)
    assert len(record.resumed_from) == 2
    assert went_on(record)
    assert weight_difference(run, undisturbed) <= 1e-8
