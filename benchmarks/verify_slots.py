"""`make verify-slots`: trains the same job on 1 to N slots in double precision by real spark-submit and compares the weights.

    python -m benchmarks.verify_slots [--slots 4] [--models covers,simple] [--formats tfrecord,parquet]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np

from slotwise import storage
from slotwise.contracts.run import load
from slotwise.train import audit
from slotwise.train.checkpoints import weight_difference

TOLERANCE = 1e-8
_WORKSPACE = Path("workspace/verify-slots")
_PREPARE = ["--source", "demo", "--classes", "12", "--per-class", "100", "--image-size", "48x48"]
# 15 steps an epoch, the last one smaller on no slot count; 60 steps in all, across three ends of an epoch.
_TRAIN = ["--epochs", "4", "--batch-size", "48", "--precision", "float64", "--augment", "flip,crop,rotate,brightness"]


def main() -> int:
    """Prints a line for each training; exit code 1 if any differs from its 1-slot twin by more than `TOLERANCE`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verify_slots", description=__doc__)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--models", default="covers,simple")
    parser.add_argument("--formats", default="tfrecord,parquet")
    options = parser.parse_args()
    worst = 0.0
    for format_name in options.formats.split(","):
        dataset = _WORKSPACE / f"covers-{format_name}"
        _submit("prepare", *_PREPARE, "--dataset", str(dataset), "--format", format_name, "--overwrite")
        for model in options.models.split(","):
            alone: Path | None = None
            for slots in range(1, options.slots + 1):
                run = _WORKSPACE / "runs" / f"{format_name}-{model}-{slots}"
                train = ["--dataset", str(dataset), "--run", str(run), "--model", model, "--slots", str(slots), *_TRAIN, "--overwrite"]
                _submit("train_distributed", *train, master=f"local[{options.slots}]")
                alone = alone or run
                weights, losses = _difference(alone, run)
                worst = max(worst, weights)
                if not _fed_alike(alone, run):
                    sys.exit(f"{run} fed other samples in its steps than {alone}")
                print(f"{format_name:9}{model:8}{slots} slots: max |weight difference| {weights:.1e}, loss {losses:.1e}, the same ids in each step, against 1 slot", flush=True)
    verdict = "the same model" if worst <= TOLERANCE else "NOT the same model"
    print(f"largest difference {worst:.1e}, allowed {TOLERANCE:.0e}: {verdict} for any number of slots")
    return 0 if worst <= TOLERANCE else 1


def _submit(job: str, *arguments: str, master: str = "local[*]") -> None:
    command = [str(Path(sys.executable).parent / "spark-submit"), "--master", master, f"jobs/{job}.py", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}")


def _difference(first: Path, second: Path) -> tuple[float, float]:
    """Largest difference of any weight, and of any epoch's loss, between two runs."""
    one, other = (storage.normalise(str(run)) for run in (first, second))
    losses = [[epoch.loss for epoch in load(uri).epochs] for uri in (one, other)]
    return weight_difference(one, other), float(np.abs(np.subtract(*losses)).max())


def _fed_alike(first: Path, second: Path) -> bool:
    """Whether two runs fed the same samples in each step of each epoch."""
    one, other = (storage.normalise(str(run)) for run in (first, second))
    epochs = range(1, len(load(one).epochs) + 1)
    return all(_steps(one, epoch) == _steps(other, epoch) for epoch in epochs)


def _steps(run: str, epoch: int) -> list[tuple[int, int, int]]:
    fed = audit.read_epoch(run, epoch)
    return sorted(zip(*(fed[name].to_pylist() for name in ("step", "shard", "record")), strict=True))


if __name__ == "__main__":
    sys.exit(main())
