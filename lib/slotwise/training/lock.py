"""One driver at a time on a run, or on a search: a file that it keeps renewing while it lives."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from pathlib import Path
from types import TracebackType

from pydantic import BaseModel, ValidationError

from slotwise import storage
from slotwise.errors import DataError, UsageError

RENEW_SECONDS = 5.0
_WATCHED_RENEWALS = 3


class LockRecord(BaseModel):
    """Who holds a run, and how often that was renewed.

    Process ids say something only on the same host and among the same processes (a container has its own); `started`
    tells a process from a later one that got its id.
    """

    id: str
    owner: str
    host: str
    processes: str
    pid: int
    started: int | None
    renewed: int = 0

    @classmethod
    def of_this_process(cls, owner: str) -> LockRecord:
        pid = os.getpid()
        known = _state_and_start(pid)
        started = known[1] if known else None
        return cls(id=uuid.uuid4().hex, owner=owner, host=socket.gethostname(), processes=_processes(), pid=pid, started=started)

    def content(self) -> bytes:
        return (self.model_dump_json(indent=2) + "\n").encode()

    def surely_ended(self) -> bool:
        """Whether its process was one of this machine's and is gone."""
        if (self.host, self.processes) != (socket.gethostname(), _processes()):
            return False
        known = _state_and_start(self.pid)
        if known is not None:
            state, started = known
            return state in "ZX" or (self.started is not None and started != self.started)
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:  # it is another user's, but it is
            return False
        return False


class RunLock:
    """Held as a context manager: within it no other training can enter on the same run, on whatever machine.

    A lock whose driver was killed is taken over: at once where its process is known to be gone, else after it has not been
    renewed for three times `renew_seconds`. Clocks of machines are not compared. A storage that goes away for a minute ends
    neither the lock nor the training: it is renewed when the storage is back.

    Args:
        uri: the lock's file, in the run.
        owner: who holds it, for the one who is refused: "spark-submit jobs/train_distributed.py, application X".
        renew_seconds: how often it is renewed; the same for all who use one run.
        work: what the owner does, and `place` the setting that says where, for the one who is refused.
    """

    def __init__(self, uri: str, owner: str, *, renew_seconds: float = RENEW_SECONDS, work: str = "training", place: str = "run") -> None:
        self.uri = uri
        self.lost = False  # somebody else has taken it over
        self._record = LockRecord.of_this_process(owner)
        self._renew_seconds, self._work, self._place = renew_seconds, work, place
        self._left = threading.Event()
        self._renewal = threading.Thread(target=self._keep_renewing, name="run lock", daemon=True)

    def __enter__(self) -> RunLock:
        """Takes the lock.

        Raises:
            UsageError: another training holds it, or was faster.
            DataError: the storage does not answer.
        """
        while not storage.create_exclusively(self.uri, self._record.content()):
            found = _read(self.uri)
            if found is not None and self._take_over(self._wait_until_stale(found)):
                break
        self._renewal.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._left.set()
        self._renewal.join()
        try:
            if _holder(_read(self.uri)) == self._record.id:
                storage.delete(self.uri)
        except Exception as failure:  # the training's own end is what counts
            print(f"the lock {self.uri} stays behind ({failure}); the next {self._work} on this {self._place} takes it over", flush=True)

    def _wait_until_stale(self, found: bytes) -> bytes | None:
        """The lock as found, or as it was when it had not changed for long enough; none if it went away meanwhile."""
        record = _parse(found)
        if record is not None and record.surely_ended():
            print(f"taking over {self.uri}: {_who(record)} has ended without leaving it", flush=True)
            return found
        seconds = _WATCHED_RENEWALS * self._renew_seconds
        print(f"{self.uri} is there, of {_who(record)}: watching for {seconds:g} s whether it is at work", flush=True)
        unchanged_until = time.monotonic() + seconds
        while time.monotonic() < unchanged_until:
            asked = time.monotonic()
            time.sleep(self._renew_seconds / 4)
            now = _read(self.uri)
            if now is None:
                return None
            if now != found:
                raise self._refusal(_parse(now))
            if time.monotonic() - asked > self._renew_seconds:  # the storage was away, for the other one too
                unchanged_until = time.monotonic() + seconds
        print(f"taking over {self.uri}: {_who(record)} has not renewed it for {seconds:g} s", flush=True)
        return found

    def _take_over(self, stale: bytes | None) -> bool:
        """Puts this lock in the place of a stale one; false if that is not there any more or may be renewed after all.

        The right to do so is a file that names the stale lock and that only one process can create, so that nobody replaces
        a lock which somebody else has just taken.
        """
        if stale is None:
            return False
        claim = storage.join(storage.parent(self.uri), f".{storage.name(self.uri)}.claim")
        asked = time.monotonic()
        if not storage.create_exclusively(claim, self._record.content()):
            self._pass_over(claim, stale)
            return False
        try:
            if time.monotonic() - asked > self._renew_seconds:  # as above: the storage was away
                return False
            record = _parse(stale)
            if record is None or not record.surely_ended():
                # The claim shows that the storage can be written to. In a safe mode that has just ended the other one could not.
                time.sleep(1.5 * self._renew_seconds)
            now = _read(self.uri)
            if now is None:
                return False
            if now != stale:
                raise self._refusal(_parse(now))
            storage.write_bytes(self.uri, self._record.content())
            return True
        finally:
            storage.delete(claim)

    def _pass_over(self, claim: str, stale: bytes) -> None:
        """Refuses because another one is taking over, unless that one has left the stale lock as it was, for the storage was away.

        One that was killed amid that is not in the way of the next attempt.
        """
        other = None
        deadline = time.monotonic() + _WATCHED_RENEWALS * self._renew_seconds
        # Gone is what ends the wait, not changed: on HDFS a claim is there, and empty, before its content is.
        while (claimed := _read(claim)) is not None:
            other = _parse(claimed) or other
            if time.monotonic() > deadline or (other is not None and other.surely_ended()):
                storage.delete(claim)
                raise self._refusal(other)
            time.sleep(self._renew_seconds / 20)
        now = _read(self.uri)
        if now != stale:
            raise self._refusal(_parse(now) or other)

    def _refusal(self, other: LockRecord | None) -> UsageError:
        return UsageError(
            f"Another {self._work} is at work on this {self._place}",
            received=f"{storage.parent(self.uri)}, held by {_who(other)}",
            accepted=f"another --{self._place}, or wait until it has ended",
        )

    def _keep_renewing(self) -> None:
        failing = False
        while not self._left.wait(self._renew_seconds) and not self.lost:
            try:
                with storage.at_once():
                    self._renew()
                failing = False
            except Exception as failure:  # tried again: a storage comes back, and the training goes on in any case
                if not failing:
                    print(f"the lock {self.uri} could not be renewed and will be tried again ({str(failure)[:200]})", flush=True)
                failing = True

    def _renew(self) -> None:
        found = _read(self.uri)
        if found is not None and _holder(found) not in (self._record.id, None):
            self.lost = True
            print(f"warning: {self.uri} was taken over by {_who(_parse(found))}: two {self._work}s are at work on this {self._place}", flush=True)
            return
        self._record.renewed += 1
        if found is not None:
            storage.write_bytes(self.uri, self._record.content())
        else:
            storage.create_exclusively(self.uri, self._record.content())


def _read(uri: str) -> bytes | None:
    """A file's content; none where there is no file."""
    try:
        return storage.read_bytes(uri)
    except DataError:
        if storage.exists(uri):
            raise
        return None


def _parse(content: bytes | None) -> LockRecord | None:
    """The record in a lock file; none where it is damaged."""
    try:
        return LockRecord.model_validate_json(content or b"")
    except ValidationError:
        return None


def _holder(content: bytes | None) -> str | None:
    record = _parse(content)
    return record.id if record else None


def _who(record: LockRecord | None) -> str:
    return f"{record.owner} on {record.host}, process {record.pid}" if record else "somebody whose record is damaged"


def _processes() -> str:
    """What tells this machine's, or this container's, process ids from others; empty where the system does not say."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _state_and_start(pid: int) -> tuple[str, int] | None:
    """A process's state letter and its start in clock ticks since boot; none if it is absent or there is no /proc."""
    try:
        # The name, in parentheses, may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], int(fields[19])
