"""A run outlives its slots and its driver: real processes killed and stopped on a real cluster, and the same weights in the end."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks import faults

from conftest import LIGHT_JAVA
from job_runs import COUNTS, put, tiny_dataset
from slots import make_job, run_slots
from slotwise import storage
from slotwise.contracts import run as runs
from slotwise.localcluster.cluster import LocalCluster
from slotwise.training.checkpoints import weight_difference

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

EPOCHS = 8
# Struck once this epoch is over; enough are left that the run is still training then.
STRUCK_AFTER = 2
SETTINGS = {"model": "simple", "epochs": EPOCHS, "batch_size": 16, "precision": "float64", "augment": ["flip", "rotate"]}
FLAGS = f"--model simple --epochs {EPOCHS} --batch-size 16 --precision float64 --augment flip,rotate --checkpoint-steps 3 --slot-timeout 10".split()
WHEN = f"epoch {STRUCK_AFTER}/{EPOCHS}  done"
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


# The chief, which writes the checkpoints and leads TensorFlow's cluster, is one of those that are struck.
@pytest.mark.parametrize(
    ("fault", "slot", "reason"),
    [(faults.kill_training, 0, "SIGKILL"), (faults.stop_training, 1, "no sign of life for 10 s"), (faults.kill_executor, 1, "lost an executor")],
)
def test_a_run_that_loses_a_slot_ends_where_the_undisturbed_one_does(
    cluster: LocalCluster, dataset: str, run: str, undisturbed: str, fault: faults.Fault, slot: int, reason: str
) -> None:
    training = faults.train(cluster.master, ["--dataset", dataset, "--run", run, "--slots", "2", *FLAGS], fault=fault, slot=slot, when=WHEN, options=LIGHT_JAVA)
    assert training.driver.returncode == 0, training.output
    record = runs.load(run)
    assert len(record.epochs) == EPOCHS
    assert [restart.slots for restart in record.restarts] == [2]
    assert reason in record.restarts[0].reason
    assert "restart 1 of at most 3" in training.output
    assert record.resumed_from[0].epoch >= STRUCK_AFTER - 1  # the last epoch may still have been on its way to the storage
    assert str(record.audit) == AUDIT
    assert "running.json" not in storage.children(run)
    assert weight_difference(run, undisturbed) <= 1e-8


@pytest.mark.parametrize(("fault", "exit_code"), [(faults.kill_driver, -9), (faults.end_driver, 143)])
def test_a_run_whose_driver_ends_is_resumed_on_one_slot(
    cluster: LocalCluster, dataset: str, run: str, undisturbed: str, fault: faults.Fault, exit_code: int
) -> None:
    flags = ["--dataset", dataset, "--run", run, *FLAGS]
    struck = faults.train(cluster.master, [*flags, "--slots", "2"], fault=fault, when=WHEN, options=LIGHT_JAVA)
    assert struck.driver.returncode == exit_code, struck.output
    if fault is faults.end_driver:
        assert "error: The training was stopped as asked; a checkpoint holds everything up to epoch " in struck.output
        assert f"Go on with --resume --run {run}" in struck.output
        assert "Traceback" not in struck.output
    resumed = faults.train(cluster.master, [*flags, "--slots", "1", "--resume"], options=LIGHT_JAVA)
    assert resumed.driver.returncode == 0, resumed.output
    record = runs.load(run)
    assert (len(record.epochs), record.slots, str(record.audit)) == (EPOCHS, 1, AUDIT)
    assert record.resumed_from[0].epoch >= STRUCK_AFTER - 1  # the last epoch may still have been on its way to the storage
    assert weight_difference(run, undisturbed) <= 1e-8
