"""Where the seconds of a job go, part after part: before the first training step in a driver and in a slot's process, and in prepare."""

from __future__ import annotations

import time


class Laps:
    """Stretches of time one after the other, by wall clock, so that one process can go on where another stopped.

    Args:
        began: when the first one begins, in seconds since 1970; now, unless told.
    """

    def __init__(self, began: float | None = None) -> None:
        self.began = self._last = time.time() if began is None else began
        self.seconds: dict[str, float] = {}

    def lap(self, name: str, at: float | None = None) -> None:
        """Ends a stretch, now or at a time that is told; the next one begins."""
        now = time.time() if at is None else at
        self.seconds[name] = max(now - self._last, 0.0)
        self._last = now
