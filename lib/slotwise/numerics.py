"""What numeric libraries read in the environment as they start: how many threads they may use, and which kernels."""

from __future__ import annotations

import os
import platform


def environment(cores: int) -> dict[str, str]:
    """Variables that hold OpenMP, MKL and TensorFlow to a number of cores, with the kernels that are fastest on them."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), str(cores))
    # TensorFlow takes oneDNN by itself only where the processor has AVX-512 or more; with AVX2 too a step takes half the time with it.
    onednn = {"TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1")} if platform.machine() in ("x86_64", "AMD64") else {}
    return threads | onednn
