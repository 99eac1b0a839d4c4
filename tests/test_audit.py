"""The audit: what it says of a run in which every sample was fed once, and of runs in which something went wrong."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from datasets import make_dataset
from job_runs import AUDIT, without_java
from records import run_record, write_run
from slots import make_job, run_slots
from slotwise import storage
from slotwise.contracts.paths import RunPaths
from slotwise.errors import DataError
from slotwise.training import audit

# Two shards of three and two samples, two places each in a step: two steps an epoch.
IDS = (["a", "b", "c"], ["d", "e"])
RIGHT = [[(3, 1), (1, 1), (2, 2), (1, 2)], [(2, 1), (0, 0), (0, 0), (0, 0)]]


def write(run: str, epochs: list[list[list[tuple[int, int]]]]) -> None:
    for shard, ids in enumerate(IDS):
        audit.write_ids(run, shard, ids)
    for epoch, fed in enumerate(epochs, 1):
        audit.write_epoch(run, epoch, np.array(fed, np.int32), shards=2)


def changed(step: int, place: int, value: tuple[int, int]) -> list[list[tuple[int, int]]]:
    fed = [list(row) for row in RIGHT]
    fed[step][place] = value
    return fed


def test_every_sample_once_is_said_in_one_sentence(place: str) -> None:
    run = storage.join(place, "run")
    write(run, [RIGHT, RIGHT])
    record = audit.check(run, 2)
    assert (record.faults, str(record)) == ([], "each of 5 ids exactly once in each of 2 epochs")
    table = audit.read_epoch(run, 1).to_pydict()
    assert table == {"step": [0, 0, 0, 0, 1], "slot": [0, 0, 1, 1, 0], "shard": [0, 0, 1, 1, 0], "record": [2, 0, 1, 0, 1]}


@pytest.mark.parametrize(
    ("fed", "fault"),
    [
        (changed(1, 0, (0, 0)), "4 of 5 ids seen, not seen: b"),
        (changed(0, 3, (2, 2)), "4 of 5 ids seen, not seen: d; seen more than once: e"),
        (changed(1, 1, (1, 2)), "seen more than once: a"),
        (changed(0, 0, (7, 1)), "4 of 5 ids seen, not seen: c; 1 records that the dataset does not have"),
        (RIGHT[:1], "4 of 5 ids seen, not seen: b"),
    ],
)
def test_what_is_missing_or_repeated_is_named(fed: list[list[tuple[int, int]]], fault: str, tmp_path: Path) -> None:
    write(tmp_path.as_uri(), [RIGHT, fed])
    record = audit.check(tmp_path.as_uri(), 2)
    assert record.faults == [f"epoch 2: {fault}"]
    assert str(record).startswith("NOT every sample was fed exactly once")


def test_a_cut_epoch_feeds_a_part_once(tmp_path: Path) -> None:
    write(tmp_path.as_uri(), [RIGHT[:1]])
    assert str(audit.check(tmp_path.as_uri(), 1, per_epoch=4)) == "4 of 5 ids in each of 1 epoch, none twice"
    assert audit.check(tmp_path.as_uri(), 1, per_epoch=5).faults


def test_a_missing_or_damaged_file_is_an_error(tmp_path: Path) -> None:
    run = tmp_path.as_uri()
    with pytest.raises(DataError, match="no finished epoch"):
        audit.check_run(run)
    with pytest.raises(DataError, match="has no audit"):
        audit.check(run, 1)
    write(run, [RIGHT])
    with pytest.raises(DataError, match=r"epoch-00002\.parquet does not exist"):
        audit.check(run, 2)
    Path(storage.local_path(RunPaths(run).audit_epoch(1))).write_bytes(b"cut")
    with pytest.raises(DataError, match=r"epoch-00001.parquet is damaged"):
        audit.check(run, 1)


def test_three_slots_write_down_what_they_feed(tmp_path: Path) -> None:
    # 97 samples in 8 shards, 3 slots: some steps feed nothing on some slots.
    dataset = make_dataset(tmp_path / "dataset", counts=(97, 8, 8))
    job = make_job(dataset, tmp_path / "run", slots=3, epochs=1)
    run_slots(job, 3)
    assert str(audit.check_run(job.run)) == "each of 97 ids exactly once in each of 1 epoch"
    fed = audit.read_epoch(job.run, 1).to_pydict()
    assert all(slot == shard % 3 for slot, shard in zip(fed["slot"], fed["shard"], strict=True))


def audit_job(*runs: Path) -> subprocess.CompletedProcess[str]:
    return without_java(AUDIT, *(["--runs", *map(str, runs)] if runs else []), cwd=runs[0].parent if runs else Path.cwd())


def test_the_command_tells_clean_runs_from_others(tmp_path: Path) -> None:
    for name, fed in (("clean", RIGHT), ("faulty", changed(1, 0, (0, 0)))):
        uri = write_run(str(tmp_path / name), run_record(epochs=1))
        write(uri, [fed])
    clean = audit_job(tmp_path / "clean")
    assert (clean.returncode, clean.stdout.split(": ")[-1]) == (0, "each of 5 ids exactly once in each of 1 epoch\n")
    both = audit_job(tmp_path / "clean", tmp_path / "faulty")
    assert both.returncode == 1
    assert "epoch 1: 4 of 5 ids seen, not seen: b" in both.stdout
    assert both.stderr.splitlines()[-1] == f"error: The audit is not clean: {(tmp_path / 'faulty').as_uri()}"
    nothing = audit_job()
    assert nothing.returncode == 2
    assert "Accepted: --runs URI" in nothing.stderr
