"""Whether a directory of a storage can be listed, written, renamed in and cleared, by the driver and by each executor."""

from __future__ import annotations

import uuid

from slotwise import storage
from slotwise.errors import DataError, SlotwiseError

FAILURES = (OSError, RuntimeError, SlotwiseError)
"""What storages raise."""
_MARK = "driver.txt"


def open_trial(place: str) -> str:
    """Makes a directory of the driver's below `place`, or below what there is of it, that executors are to find; returns its URI.

    Raises:
        OSError, RuntimeError, SlotwiseError: the storage refuses it.
    """
    with storage.at_once():
        there = place
        while not storage.exists(there) and storage.parent(there).partition("://")[2]:
            there = storage.parent(there)
        trial = storage.join(there, f".slotwise-doctor-{uuid.uuid4().hex[:12]}")
        storage.make_directory(trial)
        storage.write_text(storage.join(trial, _MARK), "by the driver")
    return trial


def use(trial: str, name: str) -> None:
    """Does below a trial's directory what jobs do: list, read, write, rename, read again, delete.

    Args:
        name: no other task's.

    Raises:
        OSError, RuntimeError, SlotwiseError: the storage refuses it.
        DataError: what the driver wrote is not there.
    """
    with storage.at_once():
        if _MARK not in storage.children(trial):
            raise DataError("What the driver wrote is not there: this is another file system than the driver's")
        written, moved = (storage.join(trial, f"{name}.{ending}") for ending in ("tmp", "txt"))
        storage.write_text(written, name)
        storage.rename(written, moved)
        if storage.read_text(moved) != name:
            raise DataError(f"{moved} has not the content that was written")
        storage.delete(moved)
        if storage.exists(moved):
            raise DataError(f"{moved} is still there after it was deleted")


def close_trial(trial: str) -> None:
    """Removes a trial's directory.

    Raises:
        OSError, RuntimeError, SlotwiseError: the storage refuses it.
    """
    with storage.at_once():
        storage.delete(trial)
