"""A run's lock: one training at a time, and none locked out by one that was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from slotwise import storage
from slotwise.errors import UsageError
from slotwise.training.lock import LockRecord, RunLock

RENEW = 0.6  # seconds; one write on HDFS on a busy machine takes less

HOLDS = """
import sys
from slotwise.errors import UsageError
from slotwise.training.lock import RunLock
print("ready", flush=True)
sys.stdin.readline()
try:
    with RunLock(sys.argv[1], "a process", renew_seconds=float(sys.argv[2])):
        print("won", flush=True)
        sys.stdin.readline()
except UsageError as error:
    print("refused:", error, flush=True)
"""


class Process:
    """Another process that takes the lock when told, and leaves it when told or killed."""

    def __init__(self, uri: str) -> None:
        command = [sys.executable, "-c", HOLDS, uri, str(RENEW)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.line() == "ready"

    def line(self) -> str:
        """The next line that is not a notice of waiting or taking over."""
        assert self.process.stdout is not None
        for text in self.process.stdout:
            if text.startswith(("ready", "won", "refused")):
                return text.strip()
        return ""

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def uri(place: str) -> str:
    return storage.join(place, "run", "running.json")


def foreign(**changes: object) -> LockRecord:
    """A lock as the driver on another machine left it when it was killed."""
    return LockRecord.of_this_process("another driver").model_copy(update={"host": "elsewhere", **changes})


def test_a_run_is_locked_while_it_is_at_work_and_free_after(uri: str) -> None:
    with RunLock(uri, "the first", renew_seconds=RENEW) as lock:
        record = LockRecord.model_validate_json(storage.read_bytes(uri))
        assert (record.owner, record.pid) == ("the first", os.getpid())
        time.sleep(4 * RENEW)
        later = LockRecord.model_validate_json(storage.read_bytes(uri))
        assert later.id == record.id
        assert later.renewed > record.renewed
        assert not lock.lost
    assert storage.children(storage.parent(uri)) == []
    with RunLock(uri, "the next", renew_seconds=RENEW):
        pass


def test_a_second_training_is_refused_while_the_first_renews(uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    with RunLock(uri, "the first", renew_seconds=RENEW):
        with pytest.raises(UsageError, match=r"Another training is at work on this run\. Received: .*/run, held by the first on .*--run") as refused:
            RunLock(uri, "the second", renew_seconds=RENEW).__enter__()
        assert f"process {os.getpid()}" in str(refused.value)
        assert capsys.readouterr().out.count("watching for") == 1
        assert storage.children(storage.parent(uri)) == ["running.json"]


def test_the_lock_goes_when_the_training_fails(uri: str) -> None:
    with pytest.raises(ZeroDivisionError), RunLock(uri, "fails", renew_seconds=RENEW):
        raise ZeroDivisionError
    assert not storage.exists(uri)


def test_a_killed_driver_on_this_machine_is_taken_over_at_once(uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    process = Process(uri)
    process.go_on()
    assert process.line() == "won"
    process.kill()
    begun = time.monotonic()
    with RunLock(uri, "the next", renew_seconds=60):
        assert time.monotonic() - begun < 30
    assert capsys.readouterr().out.count(" has ended without leaving it") == 1
    assert [child for child in storage.children(storage.parent(uri)) if not child.endswith(".tmp")] == []


def test_a_process_with_a_used_again_id_is_not_taken_for_the_driver() -> None:
    record = LockRecord.of_this_process("this one")
    assert not record.surely_ended()
    if record.started is None:
        pytest.skip("the system does not tell when a process started")
    assert record.model_copy(update={"started": record.started - 1}).surely_ended()


@pytest.mark.parametrize("elsewhere", [{"host": "elsewhere"}, {"processes": "another container's"}], ids=["machine", "container"])
def test_process_ids_of_other_machines_say_nothing(elsewhere: dict[str, object]) -> None:
    assert not LockRecord.of_this_process("").model_copy(update={"pid": 2**30, **elsewhere}).surely_ended()


@pytest.mark.parametrize("content", [foreign().content(), foreign().content()[:40], b""], ids=["whole", "torn", "empty"])
def test_a_lock_that_nobody_renews_is_taken_over_after_a_while(uri: str, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    storage.write_bytes(uri, content)
    begun = time.monotonic()
    with RunLock(uri, "the next", renew_seconds=RENEW):
        assert time.monotonic() - begun > 3 * RENEW
        assert LockRecord.model_validate_json(storage.read_bytes(uri)).owner == "the next"
        assert storage.children(storage.parent(uri)) == ["running.json"]
    assert "taking over" in capsys.readouterr().out


def test_a_lock_that_is_left_meanwhile_is_free(uri: str) -> None:
    storage.write_bytes(uri, foreign().content())
    leaving = threading.Timer(2 * RENEW, storage.delete, [uri])
    leaving.start()
    with RunLock(uri, "the next", renew_seconds=RENEW):
        assert LockRecord.model_validate_json(storage.read_bytes(uri)).owner == "the next"
    leaving.join()


@pytest.mark.parametrize("stale", ["ended here", "unchanged"])
def test_one_of_two_wins_a_stale_lock(uri: str, stale: str) -> None:
    record = LockRecord.of_this_process("killed").model_copy(update={"pid": 2**30}) if stale == "ended here" else foreign()
    storage.write_bytes(uri, record.content())
    processes = [Process(uri), Process(uri)]
    for process in processes:
        process.go_on()
    # The winner goes on renewing until it is told to end.
    outcomes = [process.line() for process in processes]
    assert sorted(outcome.split(":")[0] for outcome in outcomes) == ["refused", "won"]
    assert "held by a process on" in next(outcome for outcome in outcomes if outcome != "won")
    processes[outcomes.index("won")].go_on()
    for process in processes:
        assert process.process.wait(timeout=30) == 0
    assert storage.children(storage.parent(uri)) == []


def test_a_taking_over_that_has_just_begun_is_waited_for(uri: str) -> None:
    storage.write_bytes(uri, LockRecord.of_this_process("killed").model_copy(update={"pid": 2**30}).content())
    claim, faster = storage.join(storage.parent(uri), ".running.json.claim"), foreign(owner="the faster one").content()
    storage.write_bytes(claim, b"")  # what HDFS shows of a file whose writer has not closed it

    def take_over() -> None:
        for target in (claim, uri):
            time.sleep(RENEW / 2)
            storage.write_bytes(target, faster)
        storage.delete(claim)

    taking_over = threading.Thread(target=take_over)
    taking_over.start()
    with pytest.raises(UsageError, match="held by the faster one on"):
        RunLock(uri, "the slower one", renew_seconds=RENEW).__enter__()
    taking_over.join()


def test_a_taking_over_that_was_killed_is_not_in_the_way_for_ever(uri: str) -> None:
    storage.write_bytes(uri, foreign().content())
    storage.write_bytes(storage.join(storage.parent(uri), ".running.json.claim"), foreign(id="killed amid it").content())
    with pytest.raises(UsageError, match="Another training"):
        RunLock(uri, "the next", renew_seconds=RENEW).__enter__()
    with RunLock(uri, "the one after", renew_seconds=RENEW):
        assert storage.children(storage.parent(uri)) == ["running.json"]


def test_a_holder_says_so_when_it_was_taken_over(uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    with RunLock(uri, "was suspended", renew_seconds=RENEW) as lock:
        storage.write_bytes(uri, foreign().content())
        time.sleep(3 * RENEW)
        assert lock.lost
    assert "two trainings are at work on this run" in capsys.readouterr().out
    assert storage.read_bytes(uri) == foreign(id=LockRecord.model_validate_json(storage.read_bytes(uri)).id).content()
