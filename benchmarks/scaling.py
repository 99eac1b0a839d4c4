"""How far slots carry beyond this machine: the ring all-reduce measured here, a latency-bandwidth model of it, and what that says of networks.

    python -m benchmarks.scaling measure     writes docs/results/all-reduce.json
    python -m benchmarks.scaling page        writes docs/scaling.md from it

The model is that of Thakur, Rabenseifner and Gropp 2005, https://doi.org/10.1177/1094342005051521, sections 4.1 and 4.5: a ring of n slots takes
2 (n - 1) steps for a sum, each of a latency and the time of an n-th part of the bytes; or n - 1 steps, each with all of the bytes, where they are few.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.data import dataset
from benchmarks.processes import one_core_environment, pinned
from benchmarks.training import slots_rate, worker_environment
from slotwise import storage
from slotwise.engines.tensorflow.network import ONE_TRIP_BYTES
from slotwise.localcluster.processes import free_port
from slotwise.settings.train import TrainSettings

_RESULTS, _PAGE = Path("docs/results/all-reduce.json"), Path("docs/scaling.md")
_SLOTS = (2, 4, 8)
_BYTES = tuple(1 << power for power in range(10, 25, 2))


class Sum(NamedTuple):
    """A measured all-reduce."""

    slots: int
    bytes: int
    seconds: float


@dataclass(frozen=True)
class Link:
    """What a step of the ring costs: seconds of its own, and for each byte."""

    latency: float
    seconds_per_byte: float

    def sum_seconds(self, slots: int, size: int) -> float:
        """Seconds of a sum of so many bytes."""
        steps, part = ring(slots, size)
        return steps * (self.latency + part * self.seconds_per_byte)


def ring(slots: int, size: int) -> tuple[int, float]:
    """The steps that a sum of so many bytes takes, and the bytes of each."""
    return (slots - 1, size) if size <= ONE_TRIP_BYTES else (2 * (slots - 1), size / slots)


@dataclass(frozen=True)
class Work:
    """A training: its model and its global batch.

    Args:
        images_per_second: of one slot alone.
        gradient: bytes of each sum that one step's gradient goes in.
        statistics: channels of each batch normalisation that is synchronised, which makes two sums of two numbers for each channel.
        batch_size: images of a step over all slots.
    """

    images_per_second: float
    gradient: tuple[int, ...]
    statistics: tuple[int, ...]
    batch_size: int

    def step_seconds(self, slots: int, link: Link) -> float:
        """Seconds of a step, nothing of the sums hidden behind the arithmetic."""
        computing = self.batch_size / slots / self.images_per_second
        if slots == 1:
            return computing
        # The statistics are summed in double precision, their gradients in single.
        sums = [*self.gradient, *(16 * channels for channels in self.statistics), *(8 * channels for channels in self.statistics)]
        return computing + sum(link.sum_seconds(slots, size) for size in sums)

    def speedup(self, slots: int, link: Link) -> float:
        """How many times as fast as one slot."""
        return self.step_seconds(1, link) / self.step_seconds(slots, link)


def fit(sums: Sequence[Sum]) -> Link:
    """The latency and the seconds per byte that fit measured sums best, by least squares of the relative errors, neither below zero."""
    steps, parts = np.array([ring(each.slots, each.bytes) for each in sums], np.float64).T
    seconds = np.array([each.seconds for each in sums])
    matrix = np.stack([steps, steps * parts], axis=1) / seconds[:, None]
    latency, per_byte = np.linalg.lstsq(matrix, np.ones(len(sums)), rcond=None)[0]
    return Link(max(float(latency), 0.0), max(float(per_byte), 0.0))


def on_network(link: Link, gigabits: float, round_trip: float) -> Link:
    """The same software between machines: its own time and the network's one after the other, as gRPC on one core has it.

    Args:
        gigabits: of the network, per second.
        round_trip: of the network, in seconds; half of it is added to each step.
    """
    return Link(link.latency + round_trip / 2, link.seconds_per_byte + 8 / (gigabits * 1e9))


def measure() -> None:
    """Times sums among 2, 4 and 8 processes of this machine, and one slot's training of each model."""
    sums = [each for slots in _SLOTS for each in _measured(slots)]
    with tempfile.TemporaryDirectory(prefix="slotwise-bench-") as directory:
        place = Path(directory).as_uri()
        rates = {
            model: slots_rate(TrainSettings(dataset=dataset(data), run="unused", model=model, epochs=2, batch_size=64, steps_per_epoch=steps), 1, place)
            for model, data, steps in (("covers", "covers", 15), ("resnet18", "small", 5))
        }
    storage.write_json(storage.normalise(str(_RESULTS)), {"cores": os.cpu_count(), "sums": sums, "images_per_second": rates, "sizes": {model: _sizes(model) for model in rates}})


def _measured(slots: int) -> list[Sum]:
    ports = [free_port() for _ in range(slots)]
    processes = []
    for slot in range(slots):
        command = pinned([sys.executable, "-m", "benchmarks.sums", *map(str, _BYTES)], slot)
        processes.append(subprocess.Popen(command, env=one_core_environment() | worker_environment(ports, slot), stdout=subprocess.PIPE, text=True))
    said = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        raise RuntimeError("a slot ended with an error; its output is above")
    seconds = map(float, said[0].split()[-len(_BYTES) :])
    return [Sum(slots, size, each) for size, each in zip(_BYTES, seconds, strict=True)]


def _sizes(model: str) -> dict[str, list[int]]:
    """Numbers in the sums of one step of a model, as it is trained in the measurement."""
    done = subprocess.run([sys.executable, "-m", "benchmarks.sums", model], env=one_core_environment(), capture_output=True, text=True, check=True)
    found: dict[str, list[int]] = json.loads(done.stdout)
    return found


_NETWORKS, _CLUSTERS, _ROUND_TRIP = (10, 25, 100), (16, 64, 256), 50e-6
_BATCH, _FASTER = 1024, 50


def page(measured: dict[str, object]) -> str:
    """The page's tables, from what `measure` found."""
    sums = [Sum(*each) for each in measured["sums"]]  # type: ignore[attr-defined]
    rates: dict[str, float] = measured["images_per_second"]  # type: ignore[assignment]
    sizes: dict[str, dict[str, list[int]]] = measured["sizes"]  # type: ignore[assignment]
    link = fit(sums)
    lines = ["| bytes | " + " | ".join(f"{slots} slots, ms" for slots in _SLOTS) + " |", "| ---: |" + " ---: |" * len(_SLOTS)]
    for size in _BYTES:
        found = {each.slots: each.seconds for each in sums if each.bytes == size}
        lines.append(f"| {size:,} | " + " | ".join(f"{1e3 * found[slots]:.2f} ({1e3 * link.sum_seconds(slots, size):.2f})" for slots in _SLOTS) + " |")
    text = _INTRODUCTION.format(table="\n".join(lines), few=ONE_TRIP_BYTES, latency=1e6 * link.latency, cores=measured["cores"], rate=1e-6 / link.seconds_per_byte, batch=_BATCH, faster=_FASTER, round_trip=1e6 * _ROUND_TRIP)
    for model, rate in rates.items():
        gradient, statistics = tuple(4 * size for size in sizes[model]["gradient"]), tuple(sizes[model]["statistics"])
        for speed, what in ((rate, "a processor core as here"), (_FASTER * rate, f"{_FASTER} times as fast")):
            text += f"\n## `{model}`, each slot {what}: {speed:,.0f} images/s\n\n" + _table(Work(speed, gradient, statistics, _BATCH), link)
    return text


def _table(work: Work, link: Link) -> str:
    halved = tuple(size // 2 for size in work.gradient)
    changes = {
        f"batch {_BATCH:,}": work,
        "four times the batch": replace(work, batch_size=4 * work.batch_size),
        "bfloat16 gradients": replace(work, gradient=halved),
        "local batch statistics": replace(work, statistics=()),
        "all three": replace(work, batch_size=4 * work.batch_size, gradient=halved, statistics=()),
    }
    rows = ["| Gbit/s | slots | " + " | ".join(changes) + " |", "| ---: | ---: |" + " ---: |" * len(changes)]
    for gigabits in _NETWORKS:
        network = on_network(link, gigabits, _ROUND_TRIP)
        for slots in _CLUSTERS:
            speedups = [changed.speedup(slots, network) for changed in changes.values()]
            rows.append(f"| {gigabits} | {slots} | " + " | ".join(f"{speedup:.1f}x ({speedup / slots:.0%})" for speedup in speedups) + " |")
    return "\n".join(rows) + "\n"


_INTRODUCTION = """\
# Beyond one machine

What slots on other machines would reach is reckoned here, not measured: `make scaling` measures TensorFlow's ring all-reduce among processes of
one machine, fits the latency-bandwidth model of [Thakur, Rabenseifner and Gropp](https://doi.org/10.1177/1094342005051521) to it
(a ring of n slots takes 2 (n - 1) steps, each a latency and the time of an n-th of the bytes; or n - 1 steps with all bytes, up to {few:,} of them), and puts
a network's latency and bandwidth on top.

## A sum, measured and by the model

Median milliseconds of a sum over 2, 4 and 8 processes on this machine's cores; in brackets what the model says.

{table}

The fit: {latency:.0f} µs a step and {rate:,.0f} MB/s, of sums on {cores} cores. Where more processes than cores share a machine, their waiting for a core is in what was measured, so that
sums take longer than the model says, and still its latency is too high rather than too low for slots with a core each.

## What the tables say

Each is for a global batch of {batch:,}, held constant as always here: more slots take smaller parts of it. A network adds half of {round_trip:.0f} µs of round trip to each step of the ring,
and its bytes come on top of the processor's time for them. Nothing is hidden behind the arithmetic, though some of it can be. Each cell is how many
times as fast as one slot, and the share of the ideal; below 1x, more slots are slower. `resnet18` is that of 32x32 images. A slot {faster} times as fast stands for a small GPU
whose sums go by this ring too; slots on GPUs sum by NCCL, whose latency is far lower and was not measured.

What moves them: with slots that are processor cores, the time goes to the arithmetic until a slot's part of the batch is a few images; then it goes to the latency of the
many small sums of batch normalisation's statistics, each of which takes n - 1 steps. So a larger batch and local statistics help, bfloat16 gradients hardly. With
fast slots the gradient's bytes count too, and all three are needed. A faster network than 25 Gbit/s changes little, because the software's own time for a byte is longer.
Local statistics and a larger batch change the model that is trained; slotwise does neither by itself.
"""


def main(action: str) -> None:
    if action == "measure":
        measure()
    elif action == "page":
        storage.write_text(storage.normalise(str(_PAGE)), page(storage.read_json(storage.normalise(str(_RESULTS)))))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:2] or [""])
