"""Where the time of an epoch goes, over all attempts that it took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from slotwise.training.checkpoints import Progress


class EpochClock:
    """Runs from its making on, in addition to what an epoch's progress has already."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._waiting = self._keeping = 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around a wait for data."""
        began = time.monotonic()
        yield
        self._waiting += time.monotonic() - began

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Around what training has to stand still for when a checkpoint is taken."""
        began = time.monotonic()
        yield
        self._keeping += time.monotonic() - began

    def added_to(self, progress: Progress) -> Progress:
        """The progress with the time up to now."""
        return progress.model_copy(
            update={
                "seconds": progress.seconds + time.monotonic() - self._began,
                "waiting_seconds": progress.waiting_seconds + self._waiting,
                "checkpoint_seconds": progress.checkpoint_seconds + self._keeping,
            }
        )
