"""`make soak`: trains for an hour through a strike every ten minutes, and says whether the memory of driver, executors or slots grows.

    python -m benchmarks.soak [--minutes 60] [--every 10]
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import shlex
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
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
_EVERY_SECONDS = 5.0
_GROWTH = 0.05
_SHORTEST = 12  # minutes
_MIB = 2**20
_EXECUTORS = "executors, Java"
_PAGE, _PLOT = Path("docs/results/soak.md"), Path("docs/images/soak.png")


class Sample(NamedTuple):
    """The memory of a role's processes: minutes since the training began, and their anonymous memory in bytes."""

    minute: float
    size: int


class Watch:
    """Samples the memory of a training's processes by what they do, while it runs."""

    def __init__(self) -> None:
        self.samples: dict[str, list[Sample]] = {}
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
            for role, pids in _roles(training).items():
                if size := sum(map(memory.anonymous_size, pids)):
                    self.samples.setdefault(role, []).append(Sample(minute, size))


def _roles(training: Training) -> dict[str, set[int]]:
    """The processes behind each role, as far as they are there.

    The executors are one role, for after a restart Spark may give a slot to the executor that had another one.
    """
    # Java may still have a shell of spark-submit's among its children, which has ended.
    running = [child for child in memory.children(training.driver.pid) if memory.anonymous_size(child)]
    found = {"driver, Java": {training.driver.pid}, "driver, Python": set(running[:1]), _EXECUTORS: set()}
    for (_, slot), task in training.tasks.items():
        for child in memory.children(task):
            found[f"slot {slot}"] = {child}
            found[_EXECUTORS].add(faults.parent_of(faults.parent_of(task)))
    return found


def change(samples: Iterable[Sample], minutes: float) -> tuple[float, float]:
    """Median memory in the second sixth of the time, after warming up, and in the last one; in bytes."""
    sixth = minutes / 6
    early = [sample.size for sample in samples if sixth <= sample.minute < 2 * sixth]
    late = [sample.size for sample in samples if sample.minute >= minutes - sixth]
    return statistics.median(early), statistics.median(late)


def main() -> int:
    """Writes docs/results/soak.md and docs/images/soak.png; exit code 1 if one grew by more than 5 %."""
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
        _plot(watch.samples, options.minutes).savefig(_PLOT, dpi=110)
        found = audit.check_run(run)
    restarts = len(re.findall(r"restart \d+ of at most", training.output))
    struck = f"{restarts} restarts after SIGKILL of a training process or an executor in turn"
    lines = {role: change(samples, options.minutes) for role, samples in sorted(watch.samples.items())}
    # A fall is no leak: a strike puts a fresh executor in the place of an old one.
    is_level = all(late / early - 1 <= _GROWTH for early, late in lines.values())
    text = _page(lines, struck, str(found), options.minutes)
    print(text)
    _PAGE.write_text(text)
    return 0 if is_level and restarts and not found.faults else 1


def _strikes(minutes: float, every: float) -> list[Strike]:
    """A strike at a slot every so many minutes, and the end by SIGTERM as a scheduler sends it."""
    begun = r"slot 0 \| starts on"
    kinds = itertools.cycle((fault, slot) for slot in (0, 1) for fault in _FAULTS)
    times = itertools.takewhile(lambda at: at < minutes - 1, (every * number for number in itertools.count(1)))
    return [*(Strike(fault, slot, begun, 60 * at) for at, (fault, slot) in zip(times, kinds, strict=False)), Strike(faults.end_driver, 0, begun, 60 * minutes)]


def _page(lines: dict[str, tuple[float, float]], struck: str, found: str, minutes: float) -> str:
    sixth = minutes / 6
    head = ["process", f"median, minutes {sixth:.0f} to {2 * sixth:.0f}", f"median, minutes {minutes - sixth:.0f} to {minutes:.0f}", "change"]
    rows = [[role, f"{early / _MIB:,.0f} MiB", f"{late / _MIB:,.0f} MiB", f"{late / early - 1:+.1%}"] for role, (early, late) in lines.items()]
    shown = "\n".join(table(head, rows))
    return f"{minutes:.0f} minutes of training on two slots, {struck}; audit: {found}. Memory but for mapped files.\n\n{shown}\n"


def _plot(samples: dict[str, list[Sample]], minutes: float) -> Figure:
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
