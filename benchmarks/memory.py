"""The memory that processes take, and the most that one and all it starts take."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

_EVERY_SECONDS = 0.5


class PeakMemory:
    """Watches a process from now until `stop`; Linux.

    Shared pages count once: the sum is of proportional set sizes, in bytes.
    """

    def __init__(self, pid: int) -> None:
        self._pid, self._stopped, self._peak = pid, threading.Event(), 0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """Returns the peak."""
        self._stopped.set()
        self._thread.join()
        return self._peak

    def _watch(self) -> None:
        while not self._stopped.wait(_EVERY_SECONDS):
            self._peak = max(self._peak, sum(map(proportional_size, _family(self._pid))))


def _family(pid: int) -> list[int]:
    """The process and all below it."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parents[int(entry)] = int(Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:  # it has just ended
                continue
    family, added = {pid}, True
    while added:
        grown = family | {child for child, parent in parents.items() if parent in family}
        added, family = len(grown) > len(family), grown
    return sorted(family)


def children(pid: int) -> list[int]:
    """The processes that a process has started; none where it is gone."""
    found: list[int] = []
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):  # the thread alone is gone, as Java's often are
                found += map(int, (thread / "children").read_text().split())
    return found


def proportional_size(pid: int) -> int:
    """The memory of a process in bytes, what it shares counted in part; 0 where it is gone."""
    return _size(pid, "Pss:")


def anonymous_size(pid: int) -> int:
    """The memory of a process in bytes but for files that it maps, whose share changes as other processes map them; 0 where it is gone."""
    return _size(pid, "Anonymous:")


def _size(pid: int, name: str) -> int:
    try:
        lines = Path("/proc", str(pid), "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))
