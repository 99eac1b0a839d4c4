"""A job by this environment's spark-submit, to its good end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SPARK_SUBMIT = str(Path(sys.executable).parent / "spark-submit")


def submit(job: str, *arguments: str, master: str = "local[*]") -> None:
    """Runs `jobs/JOB.py`; where it fails, ends this program with all that it said."""
    command = [SPARK_SUBMIT, "--master", master, f"jobs/{job}.py", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}")
