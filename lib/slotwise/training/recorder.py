"""What the chief slot keeps of a training: its audit, checkpoints and event files, written while training goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from slotwise.contracts.dataset import DatasetRecord
from slotwise.contracts.job import TrainingJob
from slotwise.contracts.paths import RunPaths
from slotwise.errors import TrainingFailed
from slotwise.tracking.board import Board
from slotwise.training import audit
from slotwise.training.checkpoints import Checkpoint, Checkpoints


class Recorder:
    """Writes in one thread of its own; training only waits for it where an epoch ends before the write before is done.

    Args:
        job: names the run, how often to write and how much to keep.
        record: the dataset's.
    """

    def __init__(self, job: TrainingJob, record: DatasetRecord) -> None:
        self._job, self._shards = job, record.logical_shards
        self.board = Board(RunPaths(job.run).tensorboard, record.classes)
        self._checkpoints = Checkpoints(RunPaths(job.run).checkpoints, job.settings.keep_checkpoints)
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future[None] | None = None
        self._steps, self._last = 0, time.monotonic()

    def is_due(self) -> bool:
        """Called after each step: whether a checkpoint within the epoch is due, and the one before is written."""
        self._steps += 1
        settings = self._job.settings
        by_steps = settings.checkpoint_steps is not None and self._steps >= settings.checkpoint_steps
        by_time = time.monotonic() - self._last >= settings.checkpoint_seconds
        return (by_steps or by_time) and (self._writing is None or self._writing.done())

    def keep(self, checkpoint: Checkpoint) -> None:
        """Begins to write a checkpoint within an epoch. If it fails, that is said, and the next one is due as usual."""
        self._submit(self._try_to_write, checkpoint)

    def keep_surely(self, checkpoint: Checkpoint) -> None:
        """Begins to write a checkpoint that is needed, an epoch's audit before it; waits for the one before.

        Raises:
            TrainingFailed: the one before could not be written.
        """
        self.wait()
        self._submit(self._write, checkpoint)

    def wait(self) -> None:
        """Waits until all is written, but for event files, which are not worth that.

        Raises:
            TrainingFailed: it could not be.
        """
        try:
            if self._writing:
                self._writing.result()
        except Exception as error:  # whatever the driver of a storage raises
            raise TrainingFailed(f"The checkpoint could not be written: {error}. Mend {RunPaths(self._job.run).checkpoints} and go on with --resume") from error

    def _submit(self, write: Callable[[Checkpoint], None], checkpoint: Checkpoint) -> None:
        self._steps, self._last = 0, time.monotonic()
        self._writing = self._thread.submit(write, checkpoint)

    def _try_to_write(self, checkpoint: Checkpoint) -> None:
        try:
            self._write(checkpoint)
        except Exception as error:  # as above
            print(f"the checkpoint after {checkpoint.progress.position} could not be written: {error}", flush=True)

    def _write(self, checkpoint: Checkpoint) -> None:
        progress = checkpoint.progress
        if progress.step == 0:
            audit.write_epoch(self._job.run, len(progress.history), checkpoint.fed, self._shards)
            self.board.write()
        self._checkpoints.save(checkpoint)
