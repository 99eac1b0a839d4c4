"""What can happen to a training on a cluster, done to real processes: killed, stopped, ended by a signal."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from benchmarks import memory
from benchmarks.submit import SPARK_SUBMIT

TRAIN = str(Path(__file__).resolve().parent.parent / "jobs" / "train_distributed.py")
_LIMIT_SECONDS = 300


@dataclass
class Training:
    """A training under spark-submit, watched line by line.

    `lines` has what the driver printed, with the time of each (monotonic seconds); `tasks` the process of each slot's
    Spark task, whose child trains, by what a driver of several trainings prints before the slot, and the slot; `struck_one`
    is what it prints so before the slots of the training that is struck.
    """

    driver: subprocess.Popen[str]
    lines: list[tuple[float, str]] = field(default_factory=list)
    tasks: dict[tuple[str, int], int] = field(default_factory=dict)
    struck: float | None = None
    struck_one: str = ""

    @property
    def output(self) -> str:
        return "".join(line for _, line in self.lines)

    def read(self) -> None:
        """Takes in what the driver prints until it ends."""
        assert self.driver.stdout is not None
        for line in self.driver.stdout:
            self.lines.append((time.monotonic(), line))
            if started := re.search(r"^(.*?)slot (\d+) \| starts on .*, process (\d+)", line):
                self.tasks[started[1], int(started[2])] = int(started[3])

    def time_of(self, pattern: str, after: float = 0.0) -> float | None:
        """When the first line that matches was printed, after a moment; None if there was none."""
        found = self.first(pattern, after)
        return found[0] if found else None

    def first(self, pattern: str, after: float = 0.0) -> tuple[float, str] | None:
        """The first line that matches, after a moment, and when it was printed."""
        return next(((at, line) for at, line in self.lines if at >= after and re.search(pattern, line)), None)

    def task(self, slot: int) -> int:
        return self.tasks[self.struck_one, slot]


Fault = Callable[[Training, int], None]


class Strike(NamedTuple):
    """A fault done to a slot, `delay` seconds after the first line that matches `when`."""

    fault: Fault
    slot: int = 1
    when: str = ""
    delay: float = 0.0


def train(
    master: str,
    flags: Sequence[str],
    *,
    job: str = TRAIN,
    fault: Fault | None = None,
    slot: int = 1,
    when: str = "",
    delay: float = 0.0,
    then: Sequence[Strike] = (),
    options: Sequence[str] = (),
    watch: Callable[[Training], None] = lambda training: None,
    limit: float | None = None,
) -> Training:
    """Trains by spark-submit, or runs another job that does, with options of its own, to the end; strikes `slot` with a fault `delay` seconds
    after the first line that matches `when`, and then strikes again, each time after the one before.

    Args:
        watch: called once with the training as it begins.
        limit: seconds after which it is killed; 300 for each strike unless told.
    """
    due = [*([Strike(fault, slot, when, delay)] if fault else []), *then]
    command = [SPARK_SUBMIT, "--master", master, *options, job, *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True) as driver:
        training = Training(driver)
        reader = threading.Thread(target=training.read, daemon=True)
        reader.start()
        deadline = time.monotonic() + (limit or _LIMIT_SECONDS * max(1, len(due)))
        watch(training)
        try:
            while reader.is_alive() and time.monotonic() < deadline:
                said = training.first(due[0].when) if due else None
                if said is not None and time.monotonic() >= said[0] + due[0].delay:
                    strike = due.pop(0)
                    training.struck = time.monotonic()
                    of_slot = re.match(r"(.*?)slot \d+ \|", said[1])
                    training.struck_one = of_slot[1] if of_slot else ""
                    strike.fault(training, strike.slot)
                reader.join(0.02)
            driver.wait(max(deadline - time.monotonic(), 1))
        finally:
            if driver.poll() is None:
                os.killpg(driver.pid, signal.SIGKILL)
    return training


def kill_training(training: Training, slot: int) -> None:
    """SIGKILL of a slot's training process."""
    os.kill(_trainer(training, slot), signal.SIGKILL)


def stop_training(training: Training, slot: int) -> None:
    """SIGSTOP of a slot's training process: it is there, but does nothing."""
    os.kill(_trainer(training, slot), signal.SIGSTOP)


def kill_executor(training: Training, slot: int) -> None:
    """SIGKILL of the Java process of a slot's executor."""
    os.kill(executor_of(training.task(slot)), signal.SIGKILL)


def kill_worker(training: Training, slot: int) -> None:
    """SIGKILL of the standalone worker that a slot's executor belongs to; the executor ends with it."""
    os.kill(parent_of(executor_of(training.task(slot))), signal.SIGKILL)


def kill_driver(training: Training, slot: int) -> None:
    """SIGKILL of the driver, Java and Python."""
    os.killpg(training.driver.pid, signal.SIGKILL)


def end_driver(training: Training, slot: int) -> None:
    """SIGTERM to spark-submit, as a scheduler that wants the machine back sends it."""
    os.kill(training.driver.pid, signal.SIGTERM)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _trainer(training: Training, slot: int) -> int:
    task = training.task(slot)
    (child,) = memory.children(task)
    return child


def executor_of(task: int) -> int:
    """The Java process of the executor that a Spark task's Python process belongs to; another one once that is gone."""
    return parent_of(parent_of(task))
