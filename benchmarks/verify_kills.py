"""`make verify-kills`: strikes real trainings on a real cluster at random moments, takes their storage away, and compares each end
with the undisturbed run.

    python -m benchmarks.verify_kills [--draws 20] [--seed S]
"""

from __future__ import annotations

import argparse
import os
import random
import re
import secrets
import shlex
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks import faults
from benchmarks.faults import Fault, Training
from benchmarks.submit import submit
from benchmarks.verify_slots import TOLERANCE
from slotwise import storage
from slotwise.contracts import run as runs
from slotwise.contracts.paths import RunPaths
from slotwise.localcluster.cluster import LocalCluster, Workers
from slotwise.localcluster.state import DIRECTORY_VARIABLE
from slotwise.training.checkpoints import weight_difference

_EPOCHS, _BATCH = 12, 48
_AWAY_SECONDS = 60
_PREPARE = shlex.split("--source demo --classes 12 --per-class 100 --image-size 48x48")
_FLAGS = shlex.split(f"--model simple --epochs {_EPOCHS} --batch-size {_BATCH} --precision float64 --augment flip,rotate --checkpoint-seconds 2 --slot-timeout 5")


class Kind(NamedTuple):
    """Something that happens to a training: the fault, and on how many slots it runs before and is gone on with by a new driver (0: none)."""

    name: str
    fault: Fault
    slots: int = 2
    resumed_on: int = 0


KINDS = [
    Kind("SIGKILL of a training process", faults.kill_training),
    Kind("SIGSTOP of a training process", faults.stop_training),
    Kind("SIGKILL of an executor", faults.kill_executor),
    Kind("SIGKILL of a worker", faults.kill_worker),
    Kind("SIGKILL of the driver, 2 slots again", faults.kill_driver, resumed_on=2),
    Kind("SIGKILL of the driver, 1 slot after 2", faults.kill_driver, resumed_on=1),
    Kind("SIGKILL of the driver, 2 slots after 1", faults.kill_driver, slots=1, resumed_on=2),
]


class Draw(NamedTuple):
    """What strikes which slot, and when: so many epochs are over, and this share of the next."""

    kind: Kind
    slot: int
    epoch: int
    share: float


def draws(count: int, seed: int) -> list[Draw]:
    """`count` random draws in which every kind comes about as often as any other."""
    source = random.Random(seed)
    kinds = [KINDS[number % len(KINDS)] for number in range(count)]
    source.shuffle(kinds)
    return [Draw(kind, source.randrange(kind.slots), source.randrange(_EPOCHS - 1), source.random()) for kind in kinds]


class Lost(NamedTuple):
    """Seconds that a strike cost a training which its own driver took up again."""

    noticing: float
    relaunch: float
    redone: float


def main() -> int:
    """Prints a line for each draw, and what a strike cost; exit code 1 unless all end as the undisturbed run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verify_kills", description=__doc__)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="of the draws (default: a new one, which is printed)")
    options = parser.parse_args()
    print(f"{options.draws} draws, seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="slotwise-kills-") as directory, LocalCluster(Path(directory), workers=Workers(2, 1)) as cluster:
        os.environ[DIRECTORY_VARIABLE] = str(cluster.directory)  # event logs go to its HDFS, as with make cluster
        trial = Trial.begin(cluster)
        outlasted = [trial.outage(amid_checkpoint) for amid_checkpoint in (False, True)]
        ends = [trial.strike(number, draw) for number, draw in enumerate(draws(options.draws, options.seed), 1)]
    good = sum(is_good for is_good, _ in ends)
    print(f"{good} of {options.draws} end with the weights of the undisturbed run (within {TOLERANCE:.0e}) and a clean audit")
    _print_lost([lost for _, lost in ends if lost])
    return 0 if all(outlasted) and good == options.draws else 1


@dataclass(frozen=True)
class Trial:
    """A cluster, a dataset on it, and the run that nothing happens to, with the seconds that an epoch of it takes."""

    cluster: LocalCluster
    dataset: str
    undisturbed: str
    epoch_seconds: float

    @classmethod
    def begin(cls, cluster: LocalCluster) -> Trial:
        dataset, undisturbed = f"{cluster.hdfs}/datasets/covers", f"{cluster.hdfs}/runs/undisturbed"
        submit("jobs/prepare.py", *_PREPARE, "--dataset", dataset, master=cluster.master)
        _finish(faults.train(cluster.master, _flags(dataset, undisturbed, 2)))
        epochs = runs.load(undisturbed).epochs[1:]
        return cls(cluster, dataset, undisturbed, statistics.median(epoch.seconds + epoch.validation_seconds for epoch in epochs))

    def strike(self, number: int, draw: Draw) -> tuple[bool, Lost | None]:
        """Trains through one strike and says how it ended; whether well, and what it cost if the driver itself took the run up again."""
        run = f"{self.cluster.hdfs}/runs/draw-{number}"
        training = self._train(run, draw)
        record = runs.load(run)
        is_good, end = self._compared(run)
        went_on = f"went on after {record.resumed_from[-1]}" if record.resumed_from else "began again"
        at = f"slot {draw.slot}, epoch {draw.epoch + 1} at {draw.share:.0%}"
        print(f"{number:2} {draw.kind.name:40} {at}: {went_on} on {len(record.placement)}; {end}", flush=True)
        return is_good, self._lost(training, record, draw) if record.restarts else None

    def outage(self, amid_checkpoint: bool) -> bool:
        """Trains with the NameNode gone for a while, amid an epoch or amid a checkpoint; whether that left no trace in the run."""
        moment = "while a checkpoint is written" if amid_checkpoint else "while training"
        run = f"{self.cluster.hdfs}/runs/outage-{'checkpoint' if amid_checkpoint else 'training'}"
        fault = _namenode_away(self.cluster, RunPaths(run).checkpoints if amid_checkpoint else None)
        training = faults.train(self.cluster.master, _flags(self.dataset, run, 2), fault=fault, when=rf"epoch 3/{_EPOCHS}  done")
        _finish(training)
        back = re.search(r"storage \S+ is back after \d+ s", training.output)
        is_good, end = self._compared(run)
        print(f"NameNode away for {_AWAY_SECONDS} s {moment}: {back[0] if back else 'nothing said'}; {end}", flush=True)
        return is_good and back is not None and not runs.load(run).restarts

    def _compared(self, run: str) -> tuple[bool, str]:
        """Whether a run has ended as the undisturbed one, and in words."""
        record, difference = runs.load(run), weight_difference(run, self.undisturbed)
        is_good = difference <= TOLERANCE and not record.audit.faults and len(record.epochs) == _EPOCHS
        return is_good, f"weights within {difference:.1e}; audit: {record.audit}{'' if is_good else '  WRONG'}"

    def _train(self, run: str, draw: Draw) -> Training:
        """Trains to the end through one fault; brings back what the fault took from the cluster."""
        kind = draw.kind
        # Before the first epoch is over, its time is counted from the slots' start: they may still be looking for each other.
        when = rf"epoch {draw.epoch}/{_EPOCHS}  done" if draw.epoch else rf"slot {draw.slot} \| starts on"
        delay = draw.share * self.epoch_seconds if draw.epoch else 1 + 9 * draw.share
        flags = [*_flags(self.dataset, run, kind.slots), "--min-slots", "1"]
        training = faults.train(self.cluster.master, flags, fault=kind.fault, slot=draw.slot, when=when, delay=delay)
        if kind.resumed_on:
            _finish(faults.train(self.cluster.master, [*_flags(self.dataset, run, kind.resumed_on), "--resume"]))
        else:
            _finish(training)
        for name, part in self.cluster.parts.items():
            if not part.running():
                self.cluster.start_part(name)
        return training

    def _lost(self, training: Training, record: runs.RunRecord, draw: Draw) -> Lost:
        """Where the time of a restart went; steps redone are counted at the undisturbed run's pace."""
        assert training.struck is not None
        noticed = training.time_of(r"^(slot \d+ on |Spark lost an executor)", training.struck)
        on_again = training.time_of(r"\| (going on after|no checkpoint can be read)", training.struck)
        assert noticed is not None
        assert on_again is not None
        resumed = record.resumed_from[-1] if record.resumed_from else runs.Position(epoch=0, step=0)
        done = draw.epoch + (draw.share if draw.epoch else 0.0)
        redone = max(done - resumed.epoch - resumed.step / record.epochs[0].steps, 0.0)
        return Lost(noticed - training.struck, on_again - noticed, redone * self.epoch_seconds)


def _namenode_away(cluster: LocalCluster, checkpoints: str | None) -> Fault:
    """The NameNode killed and started again after a while; at a moment when a checkpoint is half-written, if its directory is given."""

    def strike(training: Training, slot: int) -> None:
        while checkpoints and not any(name.startswith(".") for name in storage.children(checkpoints)):
            pass
        cluster.kill_part("namenode")
        time.sleep(_AWAY_SECONDS)
        cluster.start_part("namenode")

    return strike


def _flags(dataset: str, run: str, slots: int) -> list[str]:
    return ["--dataset", dataset, "--run", run, "--slots", str(slots), *_FLAGS]


def _finish(training: Training) -> None:
    if training.driver.returncode:
        sys.exit(f"a training ended with exit code {training.driver.returncode}\n{training.output}")


def _print_lost(lost: list[Lost]) -> None:
    if not lost:
        return
    totals = [sum(each) for each in lost]
    whole = sum(totals)
    shares = ", ".join(f"{name} {statistics.median(each[place] for each in lost):.1f} s ({sum(each[place] for each in lost) / whole:.0%})" for place, name in enumerate(Lost._fields))
    print(f"time lost to a strike, {len(lost)} restarts by the driver: median {statistics.median(totals):.1f} s, at most {max(totals):.1f} s; medians and shares of all: {shares}")


if __name__ == "__main__":
    sys.exit(main())
