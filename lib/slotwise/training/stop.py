"""A request from outside to end a training in good order, noticed by the chief slot within about a second."""

from __future__ import annotations

import threading
from contextlib import suppress

from slotwise import storage
from slotwise.contracts.paths import RunPaths
from slotwise.errors import SlotwiseError

_EVERY_SECONDS = 1.0


class StopWatch:
    """Looks for `RUN/stop` from a thread of its own; `is_asked` is true once it was there."""

    def __init__(self, run: str) -> None:
        self.is_asked = False
        self._uri = RunPaths(run).stop
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        pause = threading.Event()
        while not self.is_asked:
            # Storage that is away says nothing; the writer of checkpoints tells of it.
            with suppress(OSError, RuntimeError, SlotwiseError):
                self.is_asked = storage.exists(self._uri)
            pause.wait(_EVERY_SECONDS)
