"""`make soak`: trains for an hour through a strike every ten minutes, and says whether the memory of driver, executors and slots stays level.

    python -m benchmarks.soak [--minutes 60] [--every 10]
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import re
import shlex
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from benchmarks import faults, memory
from benchmarks.faults import Strike, Training
from benchmarks.submit import submit
from slotwise.localcluster.cluster import LocalCluster
from slotwise.localcluster.state import DIRECTORY_VARIABLE
from slotwise.report.markdown import table
from slotwise.training import audit

_PREPARE = shlex.split("--source demo --classes 12 --per-class 400 --image-size 96x64")
_FLAGS = shlex.split("--slots 2 --model covers --epochs 100000 --batch-size 64 --augment flip --checkpoint-seconds 15 --restarts 1000")
_FAULTS = (faults.kill_training, faults.kill_executor)
_EVERY_SECONDS = 10.0
_LEVEL = 0.05
_SHORTEST = 12  # minutes
_MIB = 2**20
_SLOTS = ("slot 0", "slot 1")
_TOGETHER = "all together"
_PAGE, _SAMPLES, _PLOT = Path("docs/results/soak.md"), Path("docs/results/soak.csv"), Path("docs/images/soak.png")


class Sample(NamedTuple):
    """The memory of a role's process: minutes since the training began, and its anonymous memory in bytes."""

    minute: float
    size: int


class Watch:
    """Samples the memory of a training's processes by what they do, while it runs.

    A slot is one line through all its processes, for each does the same again; executors are followed one by one, as each
    of their processes is a program of its own, which a restart may give any slot.
    """

    def __init__(self) -> None:
        self.samples: dict[str, list[Sample]] = {}
        self._executors: list[int] = []
        self._start, self._stopped = time.monotonic(), threading.Event()
        self._thread: threading.Thread | None = None

    def follow(self, training: Training) -> None:
        self._thread = threading.Thread(target=self._watch, args=(training,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self, training: Training) -> None:
        while not self._stopped.wait(_EVERY_SECONDS):
            minute = (time.monotonic() - self._start) / 60
            sizes = {role: size for role, pid in self._roles(training).items() if (size := memory.anonymous_size(pid))}
            if sizes.keys() >= {*_SLOTS}:  # else a restart is under way
                sizes[_TOGETHER] = sum(sizes.values())
            for role, size in sizes.items():
                self.samples.setdefault(role, []).append(Sample(minute, size))

    def _roles(self, training: Training) -> dict[str, int]:
        """The process in each role, as far as it is there."""
        found = {"driver, Java": training.driver.pid}
        # Java may still have a shell of spark-submit's among its children, which has ended.
        if running := [child for child in memory.children(training.driver.pid) if memory.anonymous_size(child)]:
            found["driver, Python"] = running[0]
        for (_, slot), task in training.tasks.items():
            for child in memory.children(task):
                found[f"slot {slot}"] = child
                with suppress(OSError):  # struck at this moment
                    found |= self._executor(faults.executor_of(task))
        return found

    def _executor(self, pid: int) -> dict[str, int]:
        """An executor under its number; nothing where another process has taken in what a killed one left behind."""
        if Path(f"/proc/{pid}/comm").read_text().strip() != "java":
            return {}
        if pid not in self._executors:
            self._executors.append(pid)
        return {f"executor {self._executors.index(pid) + 1}, Java": pid}


class Line(NamedTuple):
    """How the memory of a role went: the minutes of its first and last sample, and medians in bytes, early after warming up and at the end."""

    first: float
    last: float
    early: float
    late: float

    @property
    def change(self) -> float:
        return self.late / self.early - 1


def line(samples: Sequence[Sample]) -> Line:
    """The medians are those of the second sixth and of the last sixth of the time that samples cover."""
    first, last = samples[0].minute, samples[-1].minute
    sixth = (last - first) / 6
    early = [sample.size for sample in samples if first + sixth <= sample.minute <= first + 2 * sixth]
    late = [sample.size for sample in samples if sample.minute >= last - sixth]
    return Line(first, last, statistics.median(early), statistics.median(late))


def main() -> int:
    """Writes docs/results/soak.md, its samples beside it and docs/images/soak.png; exit code 1 if one changed by more than 5 %."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--every", type=float, default=10, help="minutes from one strike to the next")
    options = parser.parse_args()
    if options.minutes < _SHORTEST:
        parser.error(f"In a sixth of {options.minutes:g} minutes slots may not have begun. Received: --minutes {options.minutes:g}. Accepted: {_SHORTEST} or more.")
    with tempfile.TemporaryDirectory(prefix="slotwise-soak-") as directory, LocalCluster(Path(directory)) as cluster:
        os.environ[DIRECTORY_VARIABLE] = str(cluster.directory)
        dataset, run = f"{cluster.hdfs}/datasets/covers", f"{cluster.hdfs}/runs/soak"
        submit("jobs/prepare.py", *_PREPARE, "--dataset", dataset, master=cluster.master)
        watch = Watch()
        training = faults.train(
            cluster.master,
            ["--dataset", dataset, "--run", run, *_FLAGS],
            then=_strikes(options.minutes, options.every),
            watch=watch.follow,
            limit=60 * options.minutes + 300,
        )
        watch.stop()
        _write(watch.samples)
        _plot(watch.samples, options.minutes).savefig(_PLOT, dpi=110)
        found = audit.check_run(run)
    restarts = len(re.findall(r"restart \d+ of at most", training.output))
    struck = f"{restarts} restarts after SIGKILL of a training process or an executor in turn"
    # A process that lived for less is still warming up in its second sixth.
    lines = {role: line(each) for role, each in sorted(watch.samples.items()) if each[-1].minute - each[0].minute >= _SHORTEST - 1}
    text = _page(lines, struck, str(found), options.minutes)
    print(text)
    _PAGE.write_text(text)
    return 0 if all(abs(each.change) <= _LEVEL for each in lines.values()) and restarts and not found.faults else 1


def _strikes(minutes: float, every: float) -> list[Strike]:
    """A strike at a slot every so many minutes, and the end by SIGTERM as a scheduler sends it."""
    begun = r"slot 0 \| starts on"
    kinds = itertools.cycle((fault, slot) for slot in (0, 1) for fault in _FAULTS)
    times = itertools.takewhile(lambda at: at < minutes - 1, (every * number for number in itertools.count(1)))
    return [*(Strike(fault, slot, begun, 60 * at) for at, (fault, slot) in zip(times, kinds, strict=False)), Strike(faults.end_driver, 0, begun, 60 * minutes)]


def _page(lines: Mapping[str, Line], struck: str, found: str, minutes: float) -> str:
    rows = [
        [role, f"{each.first:.0f} to {each.last:.0f}", f"{each.early / _MIB:,.0f} MiB", f"{each.late / _MIB:,.0f} MiB", f"{each.change:+.1%}"]
        for role, each in lines.items()
    ]
    shown = "\n".join(table(["process", "minutes", "median, second sixth", "median, last sixth", "change"], rows))
    return f"{minutes:.0f} minutes of training on two slots, {struck}; audit: {found}. Memory but for mapped files.\n\n{shown}\n"


def _write(samples: Mapping[str, Sequence[Sample]]) -> None:
    with _SAMPLES.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["process", "minute", "MiB"])
        writer.writerows([role, f"{sample.minute:.2f}", f"{sample.size / _MIB:.1f}"] for role, each in sorted(samples.items()) for sample in each)


def _plot(samples: Mapping[str, Sequence[Sample]], minutes: float) -> Figure:
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="minutes", ylabel="memory, MiB", title=f"Memory in {minutes:.0f} minutes of training through restarts")
    for role, each in sorted(samples.items()):
        axes.plot([sample.minute for sample in each], [sample.size / _MIB for sample in each], label=role, linewidth=1)
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    axes.grid(alpha=0.3)
    return figure


if __name__ == "__main__":
    sys.exit(main())
