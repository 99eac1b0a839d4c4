"""TorchScript, in float32, with weights of dense layers in int8 (dynamic), and in whole numbers calibrated on images (static).

A process of its own converts: PyTorch's tracer loads Triton, which crashes where TensorFlow's LLVM is loaded already.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from slotwise.conversion.formats import Answers, Converted, Files, Pixels
from slotwise.conversion.original import Original
from slotwise.errors import DataError
from slotwise.settings.export import FormatName


def convert(name: FormatName, path: str, original: Original) -> Converted:
    """A file for `torch.jit.load`; see `slotwise.conversion.torch_process`."""
    with tempfile.TemporaryDirectory(prefix="slotwise-export-") as scratch:
        model, calibration, target = (Path(scratch, file) for file in ("model.keras", "calibration.npy", path))
        original.in_float32.save(model)
        np.save(calibration, original.calibration)
        environment = {**os.environ, "KERAS_BACKEND": "torch", "PYTHONPATH": os.pathsep.join(part for part in sys.path if part)}
        command = [sys.executable, "-m", "slotwise.conversion.torch_process", name, str(model), str(calibration), str(target)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"the converting process ended with exit code {done.returncode}"]
            raise DataError(said[-1])
        return Converted({path: target.read_bytes()})


def load(path: str, files: Files, cores: int) -> Answers:
    torch.set_num_threads(cores)
    module = torch.jit.load(io.BytesIO(files[path]))

    def answers(pixels: Pixels) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(module(torch.from_numpy(pixels)).numpy())

    return answers
