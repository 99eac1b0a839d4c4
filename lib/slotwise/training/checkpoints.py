"""A run's checkpoints: one file each, there whole or not at all, and enough to go on at the next sample as if nothing had happened."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from dataclasses import dataclass, replace
from tokenize import TokenError
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from slotwise import storage
from slotwise.contracts.paths import RunPaths
from slotwise.contracts.run import EpochRecord, Position
from slotwise.errors import DataError

Arrays = list[npt.NDArray[np.generic]]

# What a damaged zip file, or a damaged array in it, makes its readers raise. A whole array is known by its CRC.
_DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error, ValueError, KeyError, EOFError, OSError, RuntimeError, OverflowError, MemoryError, TypeError, SyntaxError, TokenError)


class Progress(BaseModel):
    """Where a training stands: the epochs that are over, and how far the one after them is."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")

    history: list[EpochRecord]
    step: int = 0
    """Steps done of the epoch after those in `history`."""
    sums: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Of those steps, over all slots: loss, correct answers, images."""
    seconds: float = 0.0
    """What those steps took."""
    waiting_seconds: float = 0.0
    """How long of it the chief waited for data."""
    checkpoint_seconds: float = 0.0
    """How long of it training stood still for checkpoints."""
    best_epoch: int = 0
    """The epoch (from 1) with the lowest validation loss so far."""
    best_loss: float = float("inf")
    settings: dict[str, Any]
    """Those that decide the weights, which a resumed run cannot change."""
    dataset_fingerprint: str
    resumed_from: list[Position] = []

    @property
    def position(self) -> Position:
        return Position(epoch=len(self.history), step=self.step)

    def is_over(self, epochs: int, patience: int | None) -> bool:
        """Whether training ends here: all epochs are done, or the last `patience` brought no lower validation loss."""
        done = len(self.history)
        return done >= epochs or (patience is not None and done - self.best_epoch >= patience)


@dataclass(frozen=True)
class Checkpoint:
    """All that a training needs to go on, the same for any number of slots.

    Args:
        progress: the place in the data, and what was measured up to it.
        weights: of the model, in its own order.
        optimizer: the optimizer's variables, its step counter and schedule among them.
        fed: the audit of the epoch that is begun, int32 [steps done, batch, 2]; see `slotwise.training.audit`.
    """

    progress: Progress
    weights: Arrays
    optimizer: Arrays
    fed: npt.NDArray[np.int32]


class Checkpoints:
    """The checkpoint directory of a run; only the chief slot writes.

    Args:
        directory: its URI.
        kept: how many of the newest stay, with the best weights of their time.
    """

    def __init__(self, directory: str, kept: int = 2) -> None:
        self._directory, self._kept = directory, kept

    def save(self, checkpoint: Checkpoint) -> None:
        """Writes a checkpoint, as the best too if its epoch has just ended as such; then drops what is no longer needed."""
        progress = checkpoint.progress
        if progress.best_epoch == len(progress.history) and progress.step == 0:
            self._write(_best(progress.best_epoch), replace(checkpoint, optimizer=[]))  # nobody trains on from there
        self._write(_name(progress.position), checkpoint)
        names = self._names()
        # An earlier checkpoint is of use only with the best weights of its own time.
        bests = [name for name in names if name.startswith("best-") and name <= _best(progress.best_epoch)]
        earlier = [name for name in names if name.startswith("epoch-") and name <= _name(progress.position)]
        needed = {*bests[-self._kept :], *earlier[-self._kept :]}
        for name in set(names) - needed:
            storage.delete(storage.join(self._directory, name))

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint that can be read, with its best weights present; damaged ones are named and passed over."""
        for name in sorted(self._names(), reverse=True):
            checkpoint = self._read(name) if name.startswith("epoch-") else None
            if checkpoint and (checkpoint.progress.best_epoch == 0 or self.best_weights(checkpoint.progress.best_epoch)):
                return checkpoint
        return None

    def best_weights(self, epoch: int) -> Arrays | None:
        checkpoint = self._read(_best(epoch))
        return None if checkpoint is None else checkpoint.weights

    def _names(self) -> list[str]:
        return [name for name in storage.finished(self._directory) if name.endswith(".npz")]

    def _write(self, name: str, checkpoint: Checkpoint) -> None:
        arrays: dict[str, npt.NDArray[Any]] = {f"weight-{number:05d}": array for number, array in enumerate(checkpoint.weights)}
        arrays |= {f"optimizer-{number:05d}": array for number, array in enumerate(checkpoint.optimizer)}
        arrays["fed"] = checkpoint.fed
        arrays["progress"] = np.frombuffer(checkpoint.progress.model_dump_json().encode(), np.uint8)
        file = io.BytesIO()
        np.savez(file, **arrays)  # type: ignore[arg-type]
        storage.write_bytes(storage.join(self._directory, name), file.getbuffer())

    def _read(self, name: str) -> Checkpoint | None:
        uri = storage.join(self._directory, name)
        if not storage.exists(uri):
            return None
        content = storage.read_bytes(uri)
        try:
            arrays = _arrays(content)
            progress = Progress.model_validate(json.loads(arrays.pop("progress").tobytes()))
            fed = arrays.pop("fed")
        except _DAMAGED as error:
            print(f"checkpoint {uri} cannot be read ({error}); an earlier one is used", flush=True)
            return None
        weights = [array for key, array in arrays.items() if key.startswith("weight-")]
        optimizer = [array for key, array in arrays.items() if key.startswith("optimizer-")]
        return Checkpoint(progress, weights, optimizer, fed)


def weight_difference(run: str, other: str) -> float:
    """Largest absolute difference between the newest weights of two runs of the same model.

    Raises:
        DataError: a run has no checkpoint that can be read.
    """
    newest = []
    for each in (run, other):
        checkpoint = Checkpoints(RunPaths(each).checkpoints).latest()
        if checkpoint is None:
            raise DataError(f"{each} has no checkpoint that can be read")
        newest.append(checkpoint.weights)
    return max(float(np.abs(one.astype(float) - two).max()) for one, two in zip(*newest, strict=True))


def _arrays(content: bytes) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an npz file by name, in order; raises one of `_DAMAGED` where it is none."""
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        # Ours are stored as they are: what says that it unpacks to more than was read would fill the memory.
        if sum(entry.file_size for entry in packed.infolist()) > len(content):
            raise ValueError("it unpacks to more bytes than it has")
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return {key: file[key] for key in sorted(file.files)}


def _name(position: Position) -> str:
    return f"epoch-{position.epoch:05d}-step-{position.step:08d}.npz"


def _best(epoch: int) -> str:
    return f"best-{epoch:05d}.npz"
