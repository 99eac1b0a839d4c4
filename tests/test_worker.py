"""A slot's process: its exit code and its words when something is wrong, and class weights from the dataset."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from datasets import make_dataset
from slots import ENGINES, end_slots, largest_difference, make_job, run_script, run_slots
from slotwise.contracts.job import SlotExit


@pytest.mark.parametrize("engine", ENGINES)
def test_a_slot_that_nobody_joins_gives_up(engine: str, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "dataset", shards=2, counts=(8, 2, 2))
    (end,) = end_slots(make_job(dataset, tmp_path / "run", slots=2, engine=engine, rendezvous_timeout=5, batch_size=4), 2, started=1)
    assert end.exit_code == SlotExit.RENDEZVOUS_TIMEOUT
    assert "waits up to 5 s for the other slots (" in end.output
    assert "127.0.0.1:" in end.output


PARTING = """
import os, time
import tensorflow as tf
from slotwise.engines.tensorflow.collective import connect

slots = connect(60)
slots.summed(tf.ones([]))
if slots.is_chief:
    time.sleep(3)
ready = time.time()
slots.part()
print(ready, time.time(), flush=True)
os._exit(0)
"""


def test_no_slot_leaves_while_another_still_works() -> None:
    chief, other = (list(map(float, output.split()[-2:])) for output in run_script(PARTING, 2))
    assert other[1] >= chief[0]


ORPHAN = """
import os, signal, subprocess, sys

worker = "from slotwise.engines.worker import _end_with_parent as tie; import time; tie(); print('tied', flush=True); time.sleep(60)"
child = subprocess.Popen([sys.executable, "-c", worker], stdout=subprocess.PIPE)
child.stdout.readline()
os.kill(child.pid, signal.SIGSTOP)
print(child.pid, flush=True)
os._exit(0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a stopped process with its parent")
def test_a_stopped_training_process_does_not_outlive_its_spark_task() -> None:
    ended = subprocess.run([sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE, text=True, timeout=60, check=True)
    status, deadline = Path(f"/proc/{int(ended.stdout)}/stat"), time.monotonic() + 10

    def is_gone() -> bool:
        return not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"

    while not is_gone() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert is_gone()


@pytest.mark.parametrize(
    ("engine", "hosts", "damaged"),
    [
        ("tensorflow", (0,), 0),
        ("tensorflow", (0, 0), 0),
        ("tensorflow", (0, 0, 1), 0),  # whose host is told through memory, and the other host over the network
        ("tensorflow", (0, 0, 1), 1),
        ("torch", (0, 0), 0),
    ],
)
def test_a_damaged_shard_ends_the_training_in_words(engine: str, hosts: tuple[int, ...], damaged: int, tmp_path: Path) -> None:
    slots = len(hosts)
    dataset = make_dataset(tmp_path / "dataset", shards=slots, counts=(12, 3, 3))
    shard = tmp_path / "dataset" / "train" / f"shard-{damaged:05}.tfrecord"
    shard.write_bytes(shard.read_bytes()[:-1])
    ends = end_slots(make_job(dataset, tmp_path / "run", slots=slots, engine=engine, batch_size=2 * slots), slots, hosts=hosts)
    assert [end.exit_code for end in ends] == [SlotExit.FAILED if slot == damaged else SlotExit.PEER_LOST for slot in range(slots)]
    assert ends[damaged].outcome is not None
    assert f"{shard.name} is damaged" in ends[damaged].outcome


@pytest.mark.parametrize(("counts", "split"), [((0, 2, 2), "train"), ((8, 2, 0), "test")])
def test_an_empty_split_is_refused_before_training(counts: tuple[int, int, int], split: str, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "dataset", shards=2, counts=counts)
    (end,) = end_slots(make_job(dataset, tmp_path / "run", batch_size=4), 1)
    assert end.exit_code == SlotExit.FAILED
    assert end.outcome is not None
    assert f"The {split} split of" in end.outcome
    assert not (tmp_path / "run").exists()


def test_training_goes_without_a_validation_split(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "dataset", shards=2, counts=(24, 0, 4))
    result = run_slots(make_job(dataset, tmp_path / "run", batch_size=8), 1)
    assert [epoch.validation_loss for epoch in result.epochs] == [None, None]
    assert result.best_epoch == 2


@pytest.mark.parametrize("engine", ENGINES)
def test_class_weights_of_the_dataset_change_what_is_learned(engine: str, tmp_path: Path) -> None:
    jobs = []
    for name, weights in (("plain", None), ("ones", [1.0, 1.0]), ("unequal", [0.2, 5.0])):
        dataset = make_dataset(tmp_path / name, shards=2, counts=(24, 4, 4), classes=2, class_weights=weights)
        jobs.append(make_job(dataset, tmp_path / f"run-{name}", engine=engine, batch_size=8, epochs=1))
        run_slots(jobs[-1], 1)
    assert largest_difference(jobs[0], jobs[1]) == 0
    assert largest_difference(jobs[0], jobs[2]) > 1e-4
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
