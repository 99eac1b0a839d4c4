"""Whole processes held to their cores, whose last word is a rate."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable


def pinned(command: list[str], core: int) -> list[str]:
    cores = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(cores[core % len(cores)]), *command]


def one_core_environment() -> dict[str, str]:
    """The environment of a process that is to use one core and no GPU."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}


def rate_of(module: str, *arguments: object) -> Callable[[], float]:
    """Runs a program on one core; its rate is the last word that it prints."""
    command = pinned([sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)], 0)

    def rate() -> float:
        done = subprocess.run(command, env=one_core_environment(), stdout=subprocess.PIPE, text=True, check=True)
        return float(done.stdout.split()[-1])

    return rate
