"""Whole processes held to their cores, whose last word is a rate."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor


def pinned(command: list[str], core: int) -> list[str]:
    cores = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(cores[core % len(cores)]), *command]


def one_core_environment() -> dict[str, str]:
    """The environment of a process that is to use one core and no GPU."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}


def together(rates: Sequence[Callable[[], float]]) -> float:
    """The sum of rates of programs that run at the same time."""
    with ThreadPoolExecutor(len(rates)) as pool:
        return sum(pool.map(lambda rate: rate(), rates))


def rate_of(module: str, *arguments: object, core: int = 0) -> Callable[[], float]:
    """Runs a program on one core; its rate is the last word that it prints."""
    command = pinned([sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)], core)

    def rate() -> float:
        done = subprocess.run(command, env=one_core_environment(), stdout=subprocess.PIPE, text=True, check=True)
        return float(done.stdout.split()[-1])

    return rate
