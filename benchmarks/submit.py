"""A program by this environment's spark-submit, to its good end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SPARK_SUBMIT = str(Path(sys.executable).parent / "spark-submit")


def submit(program: str, *arguments: str, master: str = "local[*]", driver_memory: str = "1g") -> str:
    """Runs a program; returns what it printed. Where it fails, ends this one with all that it said."""
    return run(command_of(program, *arguments, master=master, driver_memory=driver_memory))


def run(command: list[str]) -> str:
    """As `submit`, of a command that is made already."""
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def environment() -> dict[str, str]:
    """With the peers' own modules, for Spark's Python workers too."""
    return {**os.environ, "PYTHONPATH": os.getcwd()}


def command_of(program: str, *arguments: str, master: str, driver_memory: str = "1g") -> list[str]:
    return [SPARK_SUBMIT, "--master", master, "--driver-memory", driver_memory, program, *arguments]
