"""`RUN/tensorboard`: an event file for each epoch, there whole or not at all, and none of it needed for the training."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from slotwise import storage
from slotwise.contracts.run import EpochRecord
from slotwise.tracking.events import event_file, scalars
from slotwise.tracking.pictures import confusion_matrix, grid

# TensorBoard reads what has this in its name, in the order of names.
_PREFIX = "events.out.tfevents."


class Board:
    """Writes the event files of one run; what cannot be written is kept and written later.

    Args:
        directory: its URI.
        names: of the classes.
    """

    def __init__(self, directory: str, names: Sequence[str]) -> None:
        self._directory, self._names = directory, names
        self._pending: dict[str, Callable[[], bytes]] = {}

    def begin(self, history: Sequence[EpochRecord]) -> None:
        """Goes on after the epochs given: those later are trained again, so their files go; what lacks one gets its scalars."""
        try:
            with storage.at_once():
                there = storage.finished(self._directory)
                for name in there:
                    if name.startswith(_PREFIX) and _epoch(name) > len(history):
                        storage.delete(storage.join(self._directory, name))
        except Exception as error:  # whatever the driver of a storage raises
            print(f"TensorBoard's files of before cannot be seen: {error}", flush=True)
            return
        for record in history:
            if not any(name.startswith(_file_of(record.epoch)) for name in there):
                self.add_epoch(record, None)

    def add_samples(self, images: npt.NDArray[np.generic]) -> None:
        """Some images as training gets them, 0 to 255, [images, height, width, channels]."""
        self._add(0, lambda: event_file(0, {}, {"samples/training": grid(images)}))

    def add_epoch(self, record: EpochRecord, confusion: npt.NDArray[np.int64] | None) -> None:
        """An epoch that is over, with the validation images as [true class, answer]."""

        def content() -> bytes:
            pictures = {} if confusion is None else {"confusion/validation": confusion_matrix(confusion, self._names)}
            return event_file(record.epoch, scalars(record), pictures)

        self._add(record.epoch, content)

    def _add(self, epoch: int, content: Callable[[], bytes]) -> None:
        self._pending[f"{_file_of(epoch)}{time.time_ns() // 1_000_000}"] = content

    def write(self) -> None:
        """Writes what has been added. If that fails, it is said, and done again next time; a storage that is away is not waited for."""
        try:
            with storage.at_once():
                for name, content in list(self._pending.items()):
                    storage.write_bytes(storage.join(self._directory, name), content())
                    del self._pending[name]
        except Exception as error:  # whatever the driver of a storage raises
            print(f"{len(self._pending)} files for TensorBoard could not be written, and wait: {error}", flush=True)


def _file_of(epoch: int) -> str:
    """How the names of an epoch's files begin; a time follows, so that no reader takes a new file for one that it knows."""
    return f"{_PREFIX}{epoch:05d}."


def _epoch(name: str) -> int:
    return int(name.removeprefix(_PREFIX).partition(".")[0])
