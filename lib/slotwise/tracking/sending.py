"""What the driver does for MLflow when a run has ended: sends it in a process of its own, whose failure costs the run nothing."""

from __future__ import annotations

import os
import subprocess
import sys

SENT = "MLflow: "
"""How the line begins that says what has been sent."""

_LIMIT_SECONDS = 300.0

# A server that is away is away for now: MLflow's own patience is minutes.
_IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}


def send_apart(run: str) -> None:
    """Sends a finished run; prints what came of it, and how to do it later where nothing did."""
    environment = {
        **_IMPATIENT,
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "-1",  # the slots' processors are not its own
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    command = [sys.executable, "-m", "slotwise.tracking.mlflow", run]
    try:
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=_LIMIT_SECONDS)
        said = [line for line in done.stdout.splitlines() if line.startswith(SENT)]
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    except subprocess.TimeoutExpired:
        said, reason = [], f"error: it took longer than {_LIMIT_SECONDS:.0f} s"
    if said:
        print(said[-1], flush=True)
    else:
        print(f"not sent to MLflow: {reason.removeprefix('error: ')}\nnothing is lost, all of it is in the run; to send it: python -m slotwise.tracking.mlflow {run}", flush=True)
