"""A run's checkpoints: one file each, there whole or not at all, and enough to go on as if nothing had happened."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from slotwise import storage
from slotwise.contracts.run import EpochRecord

KEPT = 2


class Progress(BaseModel):
    """Where a training stands at the end of an epoch."""

    model_config = ConfigDict(frozen=True)

    history: list[EpochRecord]
    best_epoch: int
    """The epoch (from 1) with the lowest validation loss so far."""
    best_loss: float
    settings: dict[str, Any]
    """Those that decide the weights, which a resumed run cannot change."""
    dataset_fingerprint: str
    resumed_from_epochs: list[int]


@dataclass(frozen=True)
class Checkpoint:
    """Weights (model order) and optimizer variables, with the progress they belong to."""

    progress: Progress
    weights: list[npt.NDArray[np.generic]]
    optimizer: list[npt.NDArray[np.generic]]

    @property
    def epoch(self) -> int:
        return len(self.progress.history)


class Checkpoints:
    """The checkpoint directory of a run; only the chief slot writes."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def save(self, checkpoint: Checkpoint) -> None:
        """Writes `epoch-E.npz`, and `best-E.npz` if this epoch is the best; then drops what the last `KEPT` do not need."""
        if checkpoint.progress.best_epoch == checkpoint.epoch:
            self._write(_best(checkpoint.epoch), checkpoint)
        self._write(_epoch(checkpoint.epoch), checkpoint)
        names = storage.children(self._directory)
        # An earlier checkpoint is of use only with the best weights of its own time.
        bests = [name for name in names if name.startswith("best-") and name <= _best(checkpoint.progress.best_epoch)]
        needed = {*bests[-KEPT:], *(_epoch(checkpoint.epoch - age) for age in range(KEPT))}
        for name in names:
            if name.endswith(".npz") and not name.startswith(".") and name not in needed:
                storage.delete(storage.join(self._directory, name))

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint that can be read, with its best weights present; damaged ones are named and passed over."""
        names = [name for name in storage.children(self._directory) if name.startswith("epoch-")]
        for name in sorted(names, reverse=True):
            checkpoint = self._read(name)
            if checkpoint is not None and self.best_weights(checkpoint.progress.best_epoch) is not None:
                return checkpoint
        return None

    def best_weights(self, epoch: int) -> list[npt.NDArray[np.generic]] | None:
        checkpoint = self._read(_best(epoch))
        return None if checkpoint is None else checkpoint.weights

    def _write(self, name: str, checkpoint: Checkpoint) -> None:
        arrays = {f"weight-{number:05d}": array for number, array in enumerate(checkpoint.weights)}
        arrays |= {f"optimizer-{number:05d}": array for number, array in enumerate(checkpoint.optimizer)}
        arrays["progress"] = np.frombuffer(checkpoint.progress.model_dump_json().encode(), np.uint8)
        with tempfile.TemporaryDirectory() as scratch:
            local = os.path.join(scratch, name)
            with open(local, "wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
            storage.upload(local, storage.join(self._directory, name))

    def _read(self, name: str) -> Checkpoint | None:
        uri = storage.join(self._directory, name)
        if not storage.exists(uri):
            return None
        with tempfile.TemporaryDirectory() as scratch:
            local = os.path.join(scratch, name)
            storage.download(uri, local)
            try:
                # A zip entry carries a CRC, so a damaged array is noticed here and not in training.
                with np.load(local, allow_pickle=False) as file:
                    arrays = {key: file[key] for key in sorted(file.files)}
                progress = Progress.model_validate(json.loads(arrays.pop("progress").tobytes()))
            except (zipfile.BadZipFile, ValueError, KeyError, EOFError, OSError, RuntimeError) as error:
                print(f"checkpoint {uri} cannot be read ({error}); an earlier one is used", flush=True)
                return None
        weights = [array for key, array in arrays.items() if key.startswith("weight-")]
        optimizer = [array for key, array in arrays.items() if key.startswith("optimizer-")]
        return Checkpoint(progress, weights, optimizer)


def _epoch(epoch: int) -> str:
    return f"epoch-{epoch:05d}.npz"


def _best(epoch: int) -> str:
    return f"best-{epoch:05d}.npz"
