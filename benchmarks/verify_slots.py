"""`make verify-slots`: trains the same job on 1 to N slots by real spark-submit and compares weights, losses and ids.

    python -m benchmarks.verify_slots [--slots 4] [--engines tensorflow,torch] [--models covers,simple] [--formats tfrecord,parquet]
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.submit import submit
from slotwise import storage
from slotwise.contracts.run import load
from slotwise.training import audit
from slotwise.training.checkpoints import weight_difference

TOLERANCE = 1e-8
"""Largest difference of any weight in double precision."""
LOSS_TOLERANCE = 1e-3
"""Largest difference of any step's loss in single precision, as a share of the first step's."""
_WORKSPACE = "workspace/verify-slots"
_PREPARE = shlex.split("--source demo --classes 12 --per-class 100 --image-size 48x48 --overwrite")
# 720 training images: 15 steps an epoch, 60 in all, across three ends of an epoch.
_DOUBLE = shlex.split("--epochs 4 --batch-size 48 --precision float64 --augment flip,crop,rotate,brightness")
# Epochs of one step each, so that the record has the loss of each step. The rate is one at which rounding stays small: at 0.01, on
# one slot in double precision, weights changed by a millionth of themselves move these losses by 2e-2 within the 20 steps. A
# gradient twice too large moves them by 1e-2 at this rate.
_SINGLE = shlex.split("--epochs 20 --steps-per-epoch 1 --batch-size 48 --optimizer sgd --learning-rate 0.0001 --augment flip,crop,rotate,brightness")


def main() -> int:
    """Prints a line for each training; exit code 1 if any differs from its 1-slot twin by more than is allowed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verify_slots", description=__doc__)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--engines", default="tensorflow")
    parser.add_argument("--models", default="covers,simple")
    parser.add_argument("--formats", default="tfrecord,parquet")
    options = parser.parse_args()
    engines, models, formats = options.engines.split(","), options.models.split(","), options.formats.split(",")
    for format_name in formats:
        submit("jobs/prepare.py", *_PREPARE, "--dataset", _dataset(format_name), "--format", format_name)
    weights = max(_weights(_Case(engine, format_name, model), options.slots) for engine in engines for format_name in formats for model in models)
    losses = max(_losses(_Case(engine, formats[0], model)) for engine in engines for model in models)
    print(f"float64: largest weight difference {weights:.1e}, allowed {TOLERANCE:.0e}: {_verdict(weights <= TOLERANCE)} for 1 to {options.slots} slots")
    print(f"float32, SGD: largest loss difference {losses:.1e} of the first loss, allowed {LOSS_TOLERANCE:.0e}: {_verdict(losses <= LOSS_TOLERANCE)} for 1 and 2 slots")
    return 0 if weights <= TOLERANCE and losses <= LOSS_TOLERANCE else 1


def _verdict(holds: bool) -> str:
    return "the same model" if holds else "NOT the same model"


class _Case(NamedTuple):
    engine: str
    format_name: str
    model: str

    def __str__(self) -> str:
        return f"{self.engine:11}{self.format_name:9}{self.model:8}"


def _weights(case: _Case, most: int) -> float:
    """Largest difference of any weight between 1 slot and any other number of slots, in double precision."""
    alone, *others = (_train(case, slots, "float64", _DOUBLE) for slots in range(1, most + 1))
    worst = 0.0
    for slots, run in enumerate(others, 2):
        difference = weight_difference(alone, run)
        if not _fed_alike(alone, run):
            sys.exit(f"{run} fed other samples in its steps than {alone}")
        print(f"{case}float64  {slots} slots: weights within {difference:.1e} of 1 slot, the same ids in each step", flush=True)
        worst = max(worst, difference)
    return worst


def _losses(case: _Case) -> float:
    """Largest difference of a step's loss between 1 and 2 slots in single precision, as a share of the first loss."""
    one, two = ([epoch.loss for epoch in load(_train(case, slots, "float32", _SINGLE)).epochs] for slots in (1, 2))
    share = float(np.abs(np.subtract(one, two)).max() / one[0])
    print(f"{case}float32  2 slots: losses of {len(one)} steps within {share:.1e} of the first loss of 1 slot, {one[0]:.3f}", flush=True)
    return share


def _dataset(format_name: str) -> str:
    return f"{_WORKSPACE}/covers-{format_name}"


def _train(case: _Case, slots: int, precision: str, flags: Sequence[str]) -> str:
    """Trains by spark-submit; returns the run's URI."""
    run = f"{_WORKSPACE}/runs/{case.engine}-{case.format_name}-{case.model}-{precision}-{slots}"
    place = ["--dataset", _dataset(case.format_name), "--run", run, "--overwrite"]
    submit("jobs/train_distributed.py", *place, "--engine", case.engine, "--model", case.model, "--slots", str(slots), *flags, master=f"local[{slots}]")
    return storage.normalise(run)


def _fed_alike(one: str, other: str) -> bool:
    """Whether two runs fed the same samples in each step of each epoch."""
    return all(_steps(one, epoch) == _steps(other, epoch) for epoch in range(1, len(load(one).epochs) + 1))


def _steps(run: str, epoch: int) -> list[tuple[int, int, int]]:
    fed = audit.read_epoch(run, epoch)
    return sorted(zip(*(fed[name].to_pylist() for name in ("step", "shard", "record")), strict=True))


if __name__ == "__main__":
    sys.exit(main())
