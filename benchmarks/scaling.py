"""How far slots carry beyond this machine: sums measured here, a latency-bandwidth model of them, and what that says of networks.

    python -m benchmarks.scaling measure     writes docs/results/all-reduce.json
    python -m benchmarks.scaling page        writes docs/scaling.md from it

The model is that of Thakur, Rabenseifner and Gropp 2005, https://doi.org/10.1177/1094342005051521, sections 4.1 and 4.5: a ring of n hosts takes
2 (n - 1) steps for a sum, each of a latency and the time of an n-th part of the bytes; or n - 1 steps, each with all of the bytes, where they are few.
In a host, whose slots sum through memory before and after, each slot costs a latency and the time of its bytes.
"""

from __future__ import annotations

import itertools
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
from benchmarks.training import addresses, slots_rate, worker_environment
from slotwise import storage
from slotwise.engines.tensorflow.network import ONE_TRIP_BYTES
from slotwise.settings.train import TrainSettings

_RESULTS, _PAGE = Path("docs/results/all-reduce.json"), Path("docs/scaling.md")
_CLUSTERS_HERE = ((2, 1), (4, 1), (8, 1), (1, 2), (2, 2), (2, 4))  # hosts, which are addresses of this machine, and slots of each
_BYTES = tuple(1 << power for power in range(10, 25, 2))


class Sum(NamedTuple):
    """A measured all-reduce."""

    hosts: int
    slots_a_host: int
    bytes: int
    seconds: float


@dataclass(frozen=True)
class Link:
    """What a message costs: seconds of its own, and for each byte."""

    latency: float
    seconds_per_byte: float

    def seconds(self, size: float) -> float:
        """Seconds of so many bytes."""
        return self.latency + size * self.seconds_per_byte


@dataclass(frozen=True)
class Costs:
    """What sums cost: each step of the ring of hosts, and each slot of a host that has several."""

    step: Link
    slot: Link

    def sum_seconds(self, hosts: int, slots_a_host: int, size: int) -> float:
        """Seconds of a sum of so many bytes."""
        steps, part = ring(hosts, size)
        return steps * self.step.seconds(part) + _sharing(slots_a_host) * self.slot.seconds(size)


def ring(hosts: int, size: int) -> tuple[int, float]:
    """The steps that a sum of so many bytes takes among hosts, and the bytes of each."""
    return (hosts - 1, size) if size <= ONE_TRIP_BYTES else (2 * (hosts - 1), size / hosts)


def _sharing(slots_a_host: int) -> int:
    return slots_a_host if slots_a_host > 1 else 0


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

    def step_seconds(self, hosts: int, slots_a_host: int, costs: Costs) -> float:
        """Seconds of a step, nothing of the sums hidden behind the arithmetic."""
        # The statistics are summed in double precision, their gradients in single.
        sums = [*self.gradient, *(16 * channels for channels in self.statistics), *(8 * channels for channels in self.statistics)]
        computing = self.batch_size / (hosts * slots_a_host) / self.images_per_second
        return computing + sum(costs.sum_seconds(hosts, slots_a_host, size) for size in sums)

    def speedup(self, hosts: int, slots_a_host: int, costs: Costs) -> float:
        """How many times as fast as one slot."""
        return self.step_seconds(1, 1, costs) / self.step_seconds(hosts, slots_a_host, costs)


def fit(sums: Sequence[Sum]) -> Costs:
    """The costs that fit measured sums best: of a step from hosts with one slot each, and of a slot from single hosts."""
    return Costs(
        step=_fitted([(*ring(each.hosts, each.bytes), each.seconds) for each in sums if each.slots_a_host == 1]),
        slot=_fitted([(each.slots_a_host, each.bytes, each.seconds) for each in sums if each.hosts == 1]),
    )


def _fitted(rows: Sequence[tuple[int, float, float]]) -> Link:
    """By least squares of the relative errors, neither number below zero; each row has messages, bytes of each, and seconds of all."""
    messages, sizes, seconds = np.array(rows, np.float64).T
    matrix = np.stack([messages, messages * sizes], axis=1) / seconds[:, None]
    latency, per_byte = np.linalg.lstsq(matrix, np.ones(len(rows)), rcond=None)[0]
    return Link(max(float(latency), 0.0), max(float(per_byte), 0.0))


def on_network(costs: Costs, gigabits: float, round_trip: float) -> Costs:
    """The same software between machines: its own time and the network's one after the other, as gRPC on one core has it.

    Args:
        gigabits: of the network, per second.
        round_trip: of the network, in seconds; half of it is added to each step.
    """
    return replace(costs, step=Link(costs.step.latency + round_trip / 2, costs.step.seconds_per_byte + 8 / (gigabits * 1e9)))


def measure() -> None:
    """Times sums among processes of this machine, and one slot's training of each model."""
    sums = [each for hosts, slots_a_host in _CLUSTERS_HERE for each in _measured(hosts, slots_a_host)]
    with tempfile.TemporaryDirectory(prefix="slotwise-bench-") as directory:
        place = Path(directory).as_uri()
        rates = {
            model: slots_rate(TrainSettings(dataset=dataset(data), run="unused", model=model, epochs=2, batch_size=64, steps_per_epoch=steps), 1, place)
            for model, data, steps in (("covers", "covers", 15), ("resnet18", "small", 5))
        }
    storage.write_json(storage.normalise(str(_RESULTS)), {"cores": os.cpu_count(), "sums": sums, "images_per_second": rates, "sizes": {model: _sizes(model) for model in rates}})


def _measured(hosts: int, slots_a_host: int) -> list[Sum]:
    workers = addresses([host for host in range(hosts) for _ in range(slots_a_host)])
    processes = []
    for slot in range(len(workers)):
        command = pinned([sys.executable, "-m", "benchmarks.sums", *map(str, _BYTES)], slot)
        processes.append(subprocess.Popen(command, env=one_core_environment() | worker_environment(workers, slot), stdout=subprocess.PIPE, text=True))
    said = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        raise RuntimeError("a slot ended with an error; its output is above")
    seconds = map(float, said[0].split()[-len(_BYTES) :])
    return [Sum(hosts, slots_a_host, size, each) for size, each in zip(_BYTES, seconds, strict=True)]


def _sizes(model: str) -> dict[str, list[int]]:
    """Numbers in the sums of one step of a model, as it is trained in the measurement."""
    done = subprocess.run([sys.executable, "-m", "benchmarks.sums", model], env=one_core_environment(), capture_output=True, text=True, check=True)
    found: dict[str, list[int]] = json.loads(done.stdout)
    return found


_NETWORKS, _SLOTS, _SLOTS_A_HOST, _ROUND_TRIP = (10, 25, 100), (16, 64, 256), (1, 16), 50e-6
_BATCH, _FASTER = 1024, 50


def page(measured: dict[str, object]) -> str:
    """The page's tables, from what `measure` found."""
    sums = [Sum(*each) for each in measured["sums"]]  # type: ignore[attr-defined]
    rates: dict[str, float] = measured["images_per_second"]  # type: ignore[assignment]
    sizes: dict[str, dict[str, list[int]]] = measured["sizes"]  # type: ignore[assignment]
    costs = fit(sums)
    clusters = list(dict.fromkeys((each.hosts, each.slots_a_host) for each in sums))
    lines = ["| bytes | " + " | ".join(f"{hosts} x {slots}, ms" for hosts, slots in clusters) + " |", "| ---: |" + " ---: |" * len(clusters)]
    for size in _BYTES:
        found = {(each.hosts, each.slots_a_host): each.seconds for each in sums if each.bytes == size}
        lines.append(f"| {size:,} | " + " | ".join(f"{1e3 * found[cluster]:.2f} ({1e3 * costs.sum_seconds(*cluster, size):.2f})" for cluster in clusters) + " |")
    text = _INTRODUCTION.format(
        table="\n".join(lines), few=ONE_TRIP_BYTES, cores=measured["cores"], batch=_BATCH, faster=_FASTER, round_trip=1e6 * _ROUND_TRIP, together=_SLOTS_A_HOST[-1],
        latency=1e6 * costs.step.latency, rate=1e-6 / costs.step.seconds_per_byte, slot_latency=1e6 * costs.slot.latency, slot_rate=1e-6 / costs.slot.seconds_per_byte,
    )  # fmt: skip
    for model, rate in rates.items():
        gradient, statistics = tuple(4 * size for size in sizes[model]["gradient"]), tuple(sizes[model]["statistics"])
        for speed, what in ((rate, "a processor core as here"), (_FASTER * rate, f"{_FASTER} times as fast")):
            text += f"\n## `{model}`, each slot {what}: {speed:,.0f} images/s\n\n" + _table(Work(speed, gradient, statistics, _BATCH), costs)
    return text


def _table(work: Work, costs: Costs) -> str:
    halved = tuple(size // 2 for size in work.gradient)
    changes = {
        f"batch {_BATCH:,}": work,
        "four times the batch": replace(work, batch_size=4 * work.batch_size),
        "bfloat16 gradients": replace(work, gradient=halved),
        "local batch statistics": replace(work, statistics=()),
        "all three": replace(work, batch_size=4 * work.batch_size, gradient=halved, statistics=()),
    }
    rows = ["| Gbit/s | slots | of a host | " + " | ".join(changes) + " |", "| ---: | ---: | ---: |" + " ---: |" * len(changes)]
    for gigabits, slots, together in itertools.product(_NETWORKS, _SLOTS, _SLOTS_A_HOST):
        network = on_network(costs, gigabits, _ROUND_TRIP)
        speedups = [changed.speedup(slots // together, together, network) for changed in changes.values()]
        rows.append(f"| {gigabits} | {slots} | {together} | " + " | ".join(f"{speedup:.1f}x ({speedup / slots:.0%})" for speedup in speedups) + " |")
    return "\n".join(rows) + "\n"


_INTRODUCTION = """\
# Beyond one machine

What slots on other machines would reach is reckoned here, not measured: `make scaling` measures sums among processes of one machine, which by their addresses are on
several hosts, fits the latency-bandwidth model of [Thakur, Rabenseifner and Gropp](https://doi.org/10.1177/1094342005051521) to them, and puts a network's latency and
bandwidth on top. Hosts sum by TensorFlow's ring (n of them take 2 (n - 1) steps, each a latency and the time of an n-th of the bytes; or n - 1 steps with all bytes, up
to {few:,} of them); slots of one host sum through memory, which costs a latency and the time of the bytes for each, and one of them takes part in the ring.

## A sum, measured and by the model

Median milliseconds of a sum over hosts x slots of each, all on this machine's {cores} cores; in brackets what the model says.

{table}

The fit: a step of the ring takes {latency:.0f} µs and its bytes {rate:,.0f} MB/s; a slot of a host that has several {slot_latency:.0f} µs and {slot_rate:,.0f} MB/s. Where more processes than
cores share a machine, their waiting for a core is in what was measured, so that sums take longer than the model says. That of the ring is fitted all the same, and its latency is
too high rather than too low for slots with a core each; a slot's is that of two slots on a core each, and counted for each slot, though many of them wait at the same time.

## What the tables say

Each is for a global batch of {batch:,}, held constant as always here: more slots take smaller parts of it. A network adds half of {round_trip:.0f} µs of round trip to each step of the ring,
and its bytes come on top of the processor's time for them. Nothing is hidden behind the arithmetic, though some of it can be. Each cell is how many
times as fast as one slot, and the share of the ideal; below 1x, more slots are slower. `resnet18` is that of 32x32 images. A slot {faster} times as fast stands for a small GPU
whose sums go by this ring too; slots on GPUs sum by NCCL, whose latency is far lower and was not measured.

What moves them: with slots that are processor cores, the time goes to the arithmetic until a slot's part of the batch is a few images; then it goes to the latency of the
many small sums of batch normalisation's statistics, each of which takes n - 1 steps among n hosts. So nothing helps as much as slots that share hosts, here {together} of each: executors
with several slots, or several executors on a machine. Where each has a host of its own a larger batch and local statistics help, bfloat16 gradients hardly. With
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
