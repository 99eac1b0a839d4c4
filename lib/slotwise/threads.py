"""How many threads the numeric libraries of a process may use, in the environment that they read as they start."""

from __future__ import annotations


def thread_limits(cores: int) -> dict[str, str]:
    """Environment variables that hold OpenMP, MKL and TensorFlow to a number of cores."""
    return dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), str(cores))
