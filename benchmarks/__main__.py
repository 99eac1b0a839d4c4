"""`make bench`: prints each ratio and writes docs/results/bench.json and bench.md.

    python -m benchmarks [--pairs N]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.pairs import Ratio, compare
from benchmarks.submit import submit
from benchmarks.training import one_core_environment, pinned, slots_rate
from slotwise import storage
from slotwise.localcluster.cluster import LocalCluster, Workers
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
    pairs = parser.parse_args().pairs
    dataset = storage.normalise(_DATASET)
    if not storage.exists(storage.join(dataset, "dataset.json")):
        submit("prepare", *_PREPARE)
    results = _measure(dataset, pairs)
    _RESULTS.mkdir(parents=True, exist_ok=True)
    machine = {"processor": _processor(), "cores": os.cpu_count(), "system": platform.system(), **installed_versions()}
    storage.write_json(storage.normalise(str(_RESULTS / "bench.json")), [result._asdict() for result in results])
    text = _markdown(results, machine)
    storage.write_text(storage.normalise(str(_RESULTS / "bench.md")), text)
    print(text)


def _measure(dataset: str, pairs: int) -> list[Ratio]:
    fast = TrainSettings(dataset=dataset, run="unused", model="covers", epochs=_EPOCHS, batch_size=_BATCH)
    bfloat16 = fast.model_copy(update={"precision": "mixed_bfloat16"})
    return [
        _checkpoint_cost(fast, pairs),
        compare("one slot / Keras fit, covers, float32", lambda: slots_rate(fast, 1), lambda: _keras_fit(dataset), goal=1.75, pairs=pairs),
        compare("one slot bfloat16 / Keras fit float32, covers", lambda: slots_rate(bfloat16, 1), lambda: _keras_fit(dataset), goal=2.8, pairs=pairs),
        compare("two slots / one slot, covers, same global batch", lambda: slots_rate(fast, 2), lambda: slots_rate(fast, 1), goal=1.75, pairs=pairs),
    ]


def _checkpoint_cost(settings: TrainSettings, pairs: int) -> Ratio:
    """Ten times as many checkpoints as by default, so that an upper bound of their cost stands out of the noise."""
    often, never = (settings.model_copy(update={"epochs": 4, "checkpoint_seconds": seconds}) for seconds in (3.0, 1e9))
    with tempfile.TemporaryDirectory(prefix="slotwise-bench-") as directory, LocalCluster(Path(directory), workers=Workers(0)) as cluster:
        name = "checkpoint on HDFS every 3 s / none within epochs, covers"
        return compare(name, lambda: slots_rate(often, 1, cluster.hdfs), lambda: slots_rate(never, 1, cluster.hdfs), goal=0.98, pairs=pairs)


def _keras_fit(dataset: str) -> float:
    command = [sys.executable, "-m", "benchmarks.peer_keras_fit", dataset, "covers", str(_BATCH), str(_EPOCHS)]
    done = subprocess.run(pinned(command, 0), env=one_core_environment(), stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.split()[-1])


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
