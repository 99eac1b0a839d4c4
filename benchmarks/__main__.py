"""`make bench`: prints each ratio and writes docs/results/bench.json and bench.md.

    python -m benchmarks [--pairs N] [--only TEXT]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from benchmarks.pairs import Ratio, compare
from benchmarks.submit import submit
from benchmarks.training import one_core_environment, pinned, rank_environment, slots_rate
from slotwise import storage
from slotwise.localcluster.cluster import LocalCluster, Workers
from slotwise.localcluster.processes import free_port
from slotwise.settings.train import TrainSettings
from slotwise.versions import installed_versions

_RESULTS = Path("docs/results")
_DATASET = "workspace/datasets/bench-covers"
_BATCH, _EPOCHS = 128, 3
_PREPARE = ["--source", "demo", "--image-size", "150x100", "--classes", "12", "--per-class", "150", "--dataset", _DATASET]


def main() -> None:
    """Prepares the data if it is not there, measures, prints, writes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--pairs", type=int, default=5, help="counted pairs of each comparison (default: %(default)s)")
    parser.add_argument("--only", default="", metavar="TEXT", help="measure only the lines whose name has this in it, and write nothing")
    options = parser.parse_args()
    dataset = storage.normalise(_DATASET)
    if not storage.exists(storage.join(dataset, "dataset.json")):
        submit("prepare", *_PREPARE)
    chosen = [line for line in _lines(dataset) if options.only in line.name]
    if not chosen:
        parser.error(f"no line has {options.only!r} in its name; there are: {'; '.join(line.name for line in _lines(dataset))}")
    results = [line.measure(options.pairs) for line in chosen]
    machine = {"processor": _processor(), "cores": os.cpu_count(), "system": platform.system(), **installed_versions()}
    text = _markdown(results, machine)
    print(text)
    if options.only:
        return
    _RESULTS.mkdir(parents=True, exist_ok=True)
    storage.write_json(storage.normalise(str(_RESULTS / "bench.json")), [result._asdict() for result in results])
    storage.write_text(storage.normalise(str(_RESULTS / "bench.md")), text)


class _Line(NamedTuple):
    """A line of the table: ours against theirs, in images per second, each at `place`, and the ratio to reach."""

    name: str
    goal: float
    ours: Callable[[str], float]
    theirs: Callable[[str], float]
    on_hdfs: bool = False

    def measure(self, pairs: int) -> Ratio:
        with tempfile.TemporaryDirectory(prefix="slotwise-bench-") as directory, ExitStack() as stack:
            place = Path(directory).as_uri()
            if self.on_hdfs:
                place = stack.enter_context(LocalCluster(Path(directory), workers=Workers(0))).hdfs
            return compare(self.name, lambda: self.ours(place), lambda: self.theirs(place), goal=self.goal, pairs=pairs)


def _lines(dataset: str) -> list[_Line]:
    fast = TrainSettings(dataset=dataset, run="unused", model="covers", epochs=_EPOCHS, batch_size=_BATCH)
    bfloat16 = fast.model_copy(update={"precision": "mixed_bfloat16"})
    torch = fast.model_copy(update={"engine": "torch"})
    # Ten times as many checkpoints as by default, so that their cost stands out of the noise: 20 % here are 2 % there.
    often, never = (fast.model_copy(update={"epochs": 4, "checkpoint_seconds": seconds}) for seconds in (3.0, 1e9))
    return [
        _Line("checkpoint on HDFS every 3 s / none within epochs, covers", 0.8, _rate(often), _rate(never), on_hdfs=True),
        _Line("one slot / Keras fit, covers, float32", 1.75, _rate(fast), _keras_fit(dataset)),
        _Line("one slot bfloat16 / Keras fit float32, covers", 2.8, _rate(bfloat16), _keras_fit(dataset)),
        _Line("two slots / one slot, covers, same global batch", 1.75, _rate(fast, 2), _rate(fast)),
        _Line("torch engine on one slot / plain DDP loop on one process, covers", 0.95, _rate(torch), _ddp(dataset, 1)),
        _Line("torch engine on two slots / plain DDP loop on two processes, covers", 0.95, _rate(torch, 2), _ddp(dataset, 2)),
    ]


def _rate(settings: TrainSettings, slots: int = 1) -> Callable[[str], float]:
    return lambda place: slots_rate(settings, slots, place)


def _keras_fit(dataset: str) -> Callable[[str], float]:
    command = [sys.executable, "-m", "benchmarks.peer_keras_fit", dataset, "covers", str(_BATCH), str(_EPOCHS)]

    def rate(_: str) -> float:
        done = subprocess.run(pinned(command, 0), env=one_core_environment(), stdout=subprocess.PIPE, text=True, check=True)
        return float(done.stdout.split()[-1])

    return rate


def _ddp(dataset: str, ranks: int) -> Callable[[str], float]:
    command = [sys.executable, "-m", "benchmarks.peer_ddp", dataset, str(_BATCH // ranks), str(_EPOCHS)]

    def rate(_: str) -> float:
        port = free_port()
        processes = [
            subprocess.Popen(pinned(command, rank), env=one_core_environment() | rank_environment(port, rank, ranks), stdout=subprocess.PIPE, text=True)
            for rank in range(ranks)
        ]
        said = [process.communicate()[0] for process in processes]
        if any(process.returncode for process in processes):
            raise RuntimeError("the plain DDP loop ended with an error; its output is above")
        return float(said[0].split()[-1])

    return rate


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())


def _markdown(results: list[Ratio], machine: dict[str, object]) -> str:
    rows = [f"| {r.name} | {r.ratio:.2f} | {r.low:.2f} to {r.high:.2f} | {r.pairs} | {r.goal:.2f} | {'yes' if r.met else 'no'} |" for r in results]
    head = ["| what | ratio (median) | lowest to highest | pairs | goal | met |", "| --- | ---: | ---: | ---: | ---: | --- |"]
    facts = ", ".join(f"{name} {value}" for name, value in machine.items())
    return "\n".join(["Made with `make bench`.", "", *head, *rows, "", json.dumps(facts, ensure_ascii=False)[1:-1], ""])


if __name__ == "__main__":
    main()
